package io.imagepipeline.management.task;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.annotation.JsonProperty;
import io.imagepipeline.management.outcome.Outcome;
import java.time.Instant;

/** A task as the API shows it and the page draws it. */
@JsonInclude(JsonInclude.Include.NON_NULL)
public record TaskView(
        long id,
        TaskState state,
        String url,
        @JsonProperty("submitted_at") Instant submittedAt,
        OutcomeView outcome,
        Links links) {

    static final String PATH = "/api/v1/tasks";

    /** The pictures' links are there as soon as the pictures are. */
    @JsonInclude(JsonInclude.Include.NON_NULL)
    public record Links(String self, String thumbnail, String original) {}

    @JsonInclude(JsonInclude.Include.NON_NULL)
    public record OutcomeView(
            String res,
            String description,
            Long attempts,
            @JsonProperty("source_bytes") Long sourceBytes,
            @JsonProperty("source_sha256") String sourceSha256,
            Long width,
            Long height,
            @JsonProperty("content_type") String contentType,
            @JsonProperty("thumbnail_bytes") Long thumbnailBytes,
            @JsonProperty("thumbnail_sha256") String thumbnailSha256,
            @JsonProperty("thumbnail_width") Long thumbnailWidth,
            @JsonProperty("thumbnail_height") Long thumbnailHeight,
            String code,
            Boolean permanent) {

        static OutcomeView of(Outcome outcome) {
            return new OutcomeView(outcome.res().word(), outcome.description(), outcome.attempts(), outcome.sourceBytes(),
                    outcome.sourceSha256(), outcome.width(), outcome.height(), outcome.contentType(), outcome.thumbnailBytes(),
                    outcome.thumbnailSha256(), outcome.thumbnailWidth(), outcome.thumbnailHeight(), outcome.code(),
                    outcome.permanent());
        }
    }

    public static TaskView of(Task task) {
        String self = path(task.id());
        boolean ok = task.state() == TaskState.OK;
        return new TaskView(task.id(), task.state(), task.url(), task.submittedAt(),
                task.outcome() == null ? null : OutcomeView.of(task.outcome()),
                new Links(self, ok ? self + "/thumbnail" : null, ok ? self + "/original" : null));
    }

    static String path(long id) {
        return PATH + "/" + id;
    }
}
