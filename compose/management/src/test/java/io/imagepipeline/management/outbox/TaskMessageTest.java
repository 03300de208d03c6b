package io.imagepipeline.management.outbox;

import static org.assertj.core.api.Assertions.assertThat;

import io.imagepipeline.management.harness.Golden;
import java.nio.charset.StandardCharsets;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import tools.jackson.databind.JsonNode;

class TaskMessageTest {
    static Stream<JsonNode> ours() {
        return Golden.cases("tasks").filter(task -> task.get("written_by").stringValue().equals("management"));
    }

    @ParameterizedTest
    @MethodSource("ours")
    void a_task_is_written_byte_for_byte_as_the_golden_one(JsonNode golden) {
        TaskMessage message = new TaskMessage(golden.get("correlation_id").longValue(), golden.get("url").stringValue(),
                golden.get("target_path").stringValue(), golden.get("target_thumbnail_path").stringValue());
        assertThat(new String(message.payload(), StandardCharsets.UTF_8))
                .as(golden.get("why").stringValue())
                .isEqualTo(new String(Golden.payload(golden), StandardCharsets.UTF_8));
    }

    @Test
    void there_are_golden_tasks_of_ours() {
        assertThat(ours()).hasSizeGreaterThanOrEqualTo(2);
    }

    @Test
    void the_key_is_the_id_as_decimal_text() {
        assertThat(new TaskMessage(4294967295L, "", "", "").key()).isEqualTo("4294967295");
    }
}
