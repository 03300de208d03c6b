package io.imagepipeline.management.task;

import com.fasterxml.jackson.annotation.JsonProperty;
import java.util.Locale;

/** Where a task is: accepted, handed to Kafka, or settled one way or the other. */
public enum TaskState {
    @JsonProperty("waiting") WAITING,
    @JsonProperty("sent") SENT,
    @JsonProperty("ok") OK,
    @JsonProperty("error") ERROR;

    /** The word used in the API and on the page. */
    public String word() {
        return name().toLowerCase(Locale.ROOT);
    }
}
