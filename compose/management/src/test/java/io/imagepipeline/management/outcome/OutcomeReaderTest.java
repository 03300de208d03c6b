package io.imagepipeline.management.outcome;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.imagepipeline.management.harness.Golden;
import java.nio.charset.StandardCharsets;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import tools.jackson.databind.JsonNode;

class OutcomeReaderTest {
    private final OutcomeReader reader = new OutcomeReader();

    static Stream<JsonNode> readable() {
        return Golden.cases("outcomes").filter(outcome -> outcome.get("reads").asBoolean());
    }

    static Stream<JsonNode> unreadable() {
        return Golden.cases("outcomes").filter(outcome -> !outcome.get("reads").asBoolean());
    }

    @ParameterizedTest
    @MethodSource("readable")
    void a_golden_outcome_is_read_in_every_field(JsonNode golden) {
        assertThat(reader.read(Golden.payload(golden))).as(golden.get("why").stringValue()).isEqualTo(new Outcome(
                golden.get("correlation_id").longValue(),
                Outcome.Res.of(golden.get("res").stringValue()).orElseThrow(),
                golden.get("description").stringValue(),
                whole(golden, "attempts"),
                whole(golden, "source_bytes"),
                text(golden, "source_sha256"),
                whole(golden, "width"),
                whole(golden, "height"),
                text(golden, "content_type"),
                whole(golden, "thumbnail_bytes"),
                text(golden, "thumbnail_sha256"),
                whole(golden, "thumbnail_width"),
                whole(golden, "thumbnail_height"),
                text(golden, "code"),
                golden.get("permanent").isNull() ? null : golden.get("permanent").booleanValue()));
    }

    @ParameterizedTest
    @MethodSource("unreadable")
    void a_golden_non_outcome_is_unreadable(JsonNode golden) {
        assertThatThrownBy(() -> reader.read(Golden.payload(golden))).as(golden.get("why").stringValue()).isInstanceOf(UnreadableOutcome.class);
    }

    @Test
    void there_are_golden_outcomes_of_both_kinds_and_of_2020() {
        assertThat(readable()).hasSizeGreaterThan(10);
        assertThat(unreadable()).hasSizeGreaterThan(10);
        assertThat(readable().filter(outcome -> outcome.get("written_by").stringValue().equals("2020"))).hasSizeGreaterThanOrEqualTo(2);
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', textBlock = """
            {"correlation_id":7,"res":"Ok"}                                    | description is missing
            {"correlation_id":7,"res":"Ok","description":5}                    | description is not a string
            {"correlation_id":7,"res":"Ok","description":"","width":"5"}       | width is not an integer
            {"correlation_id":7,"res":"Ok","description":"","width":-5}        | width is not from 0
            {"correlation_id":7,"res":"Error","description":"","permanent":1}  | permanent is not a boolean
            {"correlation_id":7,"res":"Ok","description":""} 5                 | something follows
            {"correlation_id":7,"res":"Ok","description":"",}                  | not one JSON object
            """)
    void the_reason_is_told(String payload, String reason) {
        assertThatThrownBy(() -> reader.read(payload.getBytes(StandardCharsets.UTF_8)))
                .isInstanceOf(UnreadableOutcome.class).hasMessageContaining(reason);
    }

    @Test
    void a_field_too_long_for_the_database_is_unreadable_but_a_description_is_cut() {
        assertThatThrownBy(() -> read("\"code\":\"" + "c".repeat(101) + "\",\"description\":\"\""))
                .isInstanceOf(UnreadableOutcome.class).hasMessageContaining("code is longer than 100");
        assertThat(read("\"description\":\"" + "d".repeat(100_000) + "\"").description()).hasSize(4096).endsWith("d…");
    }

    @Test
    void nesting_without_end_in_an_unknown_field_is_unreadable_and_no_stack_overflow() {
        assertThatThrownBy(() -> read("\"description\":\"\",\"more\":" + "[".repeat(100_000)))
                .isInstanceOf(UnreadableOutcome.class);
    }

    private Outcome read(String fields) {
        return reader.read(("{\"correlation_id\":7,\"res\":\"Error\"," + fields + "}").getBytes(StandardCharsets.UTF_8));
    }

    private static Long whole(JsonNode golden, String name) {
        return golden.get(name).isNull() ? null : Long.valueOf(golden.get(name).longValue());
    }

    private static String text(JsonNode golden, String name) {
        return golden.get(name).isNull() ? null : golden.get(name).stringValue();
    }
}
