package io.imagepipeline.management.task;

import io.imagepipeline.management.outcome.Outcome;
import java.time.Instant;

/**
 * One submitted picture.
 *
 * @param id      the correlation id, 1 to 2^32-1
 * @param owner   the account that submitted it; nobody else sees it
 * @param sent    whether the broker has acknowledged the task's record
 * @param outcome null until one has arrived
 */
public record Task(
        long id, String owner, String url, String originalKey, String thumbnailKey, Instant submittedAt, boolean sent, Outcome outcome) {

    public TaskState state() {
        if (outcome == null) {
            return sent ? TaskState.SENT : TaskState.WAITING;
        }
        return outcome.isOk() ? TaskState.OK : TaskState.ERROR;
    }
}
