package io.imagepipeline.management.outbox;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.annotation.JsonPropertyOrder;
import tools.jackson.databind.json.JsonMapper;

/** A task as the wire contract has it. */
@JsonPropertyOrder({"correlation_id", "url", "target_path", "target_thumbnail_path"})
record TaskMessage(
        @JsonProperty("correlation_id") long correlationId,
        @JsonProperty("url") String url,
        @JsonProperty("target_path") String targetPath,
        @JsonProperty("target_thumbnail_path") String targetThumbnailPath) {

    private static final JsonMapper JSON = JsonMapper.builder().build();

    /** The record's key: the correlation id as decimal text. */
    String key() {
        return Long.toString(correlationId);
    }

    byte[] payload() {
        return JSON.writeValueAsBytes(this);
    }
}
