package io.imagepipeline.management.outcome;

import static io.imagepipeline.management.harness.Management.JSON;
import static java.util.concurrent.TimeUnit.SECONDS;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.imagepipeline.management.harness.Golden;
import io.imagepipeline.management.harness.Management;
import io.imagepipeline.management.harness.Stack;
import io.imagepipeline.management.harness.Topics;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.time.Duration;
import java.util.List;
import javax.sql.DataSource;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.awaitility.core.ThrowingRunnable;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;

/** Through a real broker: what goes out, what comes back, and what bad records and a bad database do to it. */
class DeliveryTest {
    private static final String OK = """
            {"correlation_id":%d,"res":"Ok","description":"","attempts":2,"source_bytes":482113,"width":1600,"height":900,\
            "content_type":"image/jpeg","thumbnail_width":128,"thumbnail_height":72}""";
    private static final String ERROR = """
            {"correlation_id":%d,"res":"Error","description":"%s","attempts":1,"code":"http_status_permanent","permanent":true}""";

    private static Management management;
    private static Topics topics;

    @BeforeAll
    static void start() throws Exception {
        Stack stack = Stack.shared();
        management = stack.management();
        topics = stack.topics();
    }

    @Test
    void a_submission_becomes_a_task_record() throws Exception {
        long id = management.submit("ada", "https://bücher.example.org/cat.jpg?size=large#top");

        ConsumerRecord<String, byte[]> record = topics.task(id);
        JsonNode task = JSON.readTree(record.value());
        assertThat(record.key()).isEqualTo(Long.toString(id));
        assertThat(task.propertyNames()).containsExactlyInAnyOrder("correlation_id", "url", "target_path", "target_thumbnail_path");
        assertThat(task.get("correlation_id").longValue()).isEqualTo(id);
        assertThat(task.get("url").stringValue()).isEqualTo("https://xn--bcher-kva.example.org/cat.jpg?size=large");
        assertThat(task.get("target_path").stringValue()).matches("pictures/" + id + "-[0-9a-f]{16}");
        assertThat(task.get("target_thumbnail_path").stringValue()).matches("thumbnails/" + id + "-[0-9a-f]{16}");
        assertThat(new String(record.headers().lastHeader("traceparent").value(), StandardCharsets.UTF_8))
                .matches("00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}");
        eventually(() -> assertThat(management.state("ada", id)).isEqualTo("sent"));
    }

    @Test
    void an_ok_reaches_its_task_with_all_its_facts() throws Exception {
        long id = submitted();

        topics.outcome(id, OK.formatted(id));

        eventually(() -> assertThat(management.state("ada", id)).isEqualTo("ok"));
        JsonNode task = management.task("ada", id);
        assertThat(task.get("outcome")).isEqualTo(JSON.readTree(OK.formatted(id).replace("\"correlation_id\":" + id + ",", "")));
        assertThat(task.get("links").get("thumbnail").stringValue()).isEqualTo("/api/v1/tasks/" + id + "/thumbnail");
        assertThat(task.get("links").get("original").stringValue()).isEqualTo("/api/v1/tasks/" + id + "/original");
    }

    @Test
    void repeated_and_late_outcomes_change_nothing() throws Exception {
        long id = submitted();
        topics.outcome(id, OK.formatted(id));
        eventually(() -> assertThat(management.state("ada", id)).isEqualTo("ok"));
        JsonNode settled = management.task("ada", id);

        topics.outcome(id, OK.formatted(id).replace("1600", "7"));
        topics.outcome(id, ERROR.formatted(id, "too late"));

        assertEverythingIsReadAfterwards();
        assertThat(management.task("ada", id)).isEqualTo(settled);
    }

    @Test
    void an_error_is_told_and_gives_way_to_an_ok() throws Exception {
        long id = submitted();
        topics.outcome(id, ERROR.formatted(id, "the host answered 404"));
        eventually(() -> assertThat(management.state("ada", id)).isEqualTo("error"));
        JsonNode outcome = management.task("ada", id).get("outcome");
        assertThat(outcome.get("description").stringValue()).isEqualTo("the host answered 404");
        assertThat(outcome.get("code").stringValue()).isEqualTo("http_status_permanent");
        assertThat(outcome.get("permanent").booleanValue()).isTrue();

        topics.outcome(id, ERROR.formatted(id, "another"));
        topics.outcome(id, OK.formatted(id));

        eventually(() -> assertThat(management.state("ada", id)).isEqualTo("ok"));
        assertThat(management.task("ada", id).get("outcome").has("code")).isFalse();
    }

    @Test
    void outcomes_as_the_system_of_2020_wrote_them_are_accepted() throws Exception {
        long good = submitted();
        long bad = submitted();
        topics.outcome(good, "{\"correlation_id\":%d,\"res\":\"Ok\",\"description\":\"\"}".formatted(good));
        topics.outcome(bad, "{\"correlation_id\":%d,\"res\":\"Error\",\"description\":\"Unsupported image format\"}".formatted(bad));
        eventually(() -> assertThat(management.state("ada", good)).isEqualTo("ok"));
        eventually(() -> assertThat(management.state("ada", bad)).isEqualTo("error"));
    }

    @Test
    void unreadable_records_stop_nobody_and_are_counted() throws Exception {
        List<JsonNode> unreadable = Golden.cases("outcomes").filter(outcome -> !outcome.get("reads").asBoolean()).toList();
        double before = outcomes("unreadable");
        long id = submitted();
        for (JsonNode golden : unreadable) {
            // With the task's key, so that they stand before its outcome in the same partition.
            topics.outcome(new ProducerRecord<>(management.get("KAFKA_OUTPUT_TOPIC"), Long.toString(id), Golden.payload(golden)));
        }
        topics.outcome(new ProducerRecord<>(management.get("KAFKA_OUTPUT_TOPIC"), null, new byte[] {(byte) 0xff, 0, 1}));
        topics.outcome(id, OK.formatted(id));

        eventually(() -> assertThat(management.state("ada", id)).isEqualTo("ok"));
        eventually(() -> assertThat(outcomes("unreadable") - before).isEqualTo(unreadable.size() + 1));
    }

    @Test
    void an_outcome_of_no_task_of_ours_stops_nobody_and_is_counted() throws Exception {
        double before = outcomes("unknown");
        for (String id : List.of("0", "4294967295", "9223372036854775807")) {
            topics.outcome(1, OK.replace("%d", id));
        }
        eventually(() -> assertThat(outcomes("unknown") - before).isEqualTo(3));
        assertEverythingIsReadAfterwards();
    }

    @Test
    void a_failing_database_skips_no_outcome() throws Exception {
        long id = submitted();
        eventually(() -> assertThat(management.state("ada", id)).isEqualTo("sent"));
        eventually(() -> assertThat(topics.lag()).isZero());
        double failed = outcomes("failed");
        long committed = topics.committed();
        try (Connection connection = management.bean(DataSource.class).getConnection(); var lock = connection.createStatement()) {
            connection.setAutoCommit(false);
            lock.execute("select id from task where id = " + id + " for update");
            topics.outcome(id, OK.formatted(id));
            eventually(() -> assertThat(outcomes("failed")).as("tries that failed").isGreaterThanOrEqualTo(failed + 2));
            assertThat(management.state("ada", id)).isEqualTo("sent");
            assertThat(topics.committed()).as("nothing is committed past the outcome that isn't stored").isEqualTo(committed);
            connection.rollback();
        }
        eventually(() -> assertThat(management.state("ada", id)).isEqualTo("ok"));
        eventually(() -> assertThat(topics.committed()).isEqualTo(committed + 1));
    }

    private static long submitted() throws Exception {
        long id = management.submit("ada", "https://example.com/a.jpg");
        topics.task(id);
        return id;
    }

    private static void assertEverythingIsReadAfterwards() throws Exception {
        for (int partition = 0; partition < 2; partition++) {
            long marker = submitted();
            topics.outcome(new ProducerRecord<>(management.get("KAFKA_OUTPUT_TOPIC"), partition, null, OK.formatted(marker).getBytes(StandardCharsets.UTF_8)));
            eventually(() -> assertThat(management.state("ada", marker)).isEqualTo("ok"));
        }
    }

    private static double outcomes(String result) throws Exception {
        return management.metric("management_outcomes_total{result=\"" + result + "\"}");
    }

    private static void eventually(ThrowingRunnable claim) {
        await().atMost(30, SECONDS).pollInterval(Duration.ofMillis(100)).untilAsserted(claim);
    }
}
