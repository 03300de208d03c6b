package io.imagepipeline.management.outcome;

/** A record on the outcomes' topic that is no outcome; the message says why. */
final class UnreadableOutcome extends RuntimeException {
    UnreadableOutcome(String message) {
        super(message);
    }

    UnreadableOutcome(String message, Throwable cause) {
        super(message, cause);
    }
}
