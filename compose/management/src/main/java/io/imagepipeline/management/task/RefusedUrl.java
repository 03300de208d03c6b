package io.imagepipeline.management.task;

/** A URL that can't become a task. The code is from the wire contract's list where that has one; the message is for the user. */
public final class RefusedUrl extends RuntimeException {
    private final String code;

    public RefusedUrl(String code, String message) {
        super(message);
        this.code = code;
    }

    public String code() {
        return code;
    }
}
