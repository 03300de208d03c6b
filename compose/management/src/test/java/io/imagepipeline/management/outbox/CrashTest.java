package io.imagepipeline.management.outbox;

import static io.imagepipeline.management.harness.Management.JSON;
import static io.imagepipeline.management.harness.Management.as;
import static io.imagepipeline.management.harness.Management.send;
import static java.util.concurrent.TimeUnit.SECONDS;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.imagepipeline.management.harness.Broker;
import io.imagepipeline.management.harness.Management;
import io.imagepipeline.management.harness.ManagementProcess;
import io.imagepipeline.management.harness.SpanSink;
import io.imagepipeline.management.harness.Topics;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;

/** With processes of their own, since nothing in this JVM can be killed. */
class CrashTest {
    @TempDir Path directory;

    /** Three lives over one database, the first two ended by SIGKILL at the moment when something has just been promised. */
    @Test
    void what_was_promised_survives_kill_9() throws Exception {
        try (Broker broker = Broker.away(); SpanSink sink = new SpanSink()) {
            Management settings = Management.with(broker.address(), directory).set("LOG_FORMAT", "json");
            Map<String, String> environment = Map.of("OTEL_EXPORTER_OTLP_ENDPOINT", sink.endpoint(), "OTEL_SERVICE_NAME", "renamed");

            List<Long> accepted = new ArrayList<>();
            try (ManagementProcess first = ManagementProcess.start(settings, environment)) {
                URI tasks = first.uri("/api/v1/tasks");
                // Many, so that some of them surely fall between two of the database's own writes.
                for (int i = 0; i < 30; i++) {
                    HttpResponse<String> answer = send(submission(tasks, "https://example.com/a.jpg?token=topsecret"));
                    assertThat(answer.statusCode()).isEqualTo(202);
                    accepted.add(JSON.readTree(answer.body()).get("id").longValue());
                }
                first.kill();
                assertThat(first.output().lines()).isNotEmpty().allSatisfy(line -> assertThat(JSON.readTree(line).has("message")).isTrue());
                assertThat(first.output()).contains("accepted from ada: https://example.com/a.jpg").doesNotContain("topsecret");
            }

            broker.start();
            broker.createTopics(settings.get("KAFKA_INPUT_TOPIC"), settings.get("KAFKA_OUTPUT_TOPIC"));
            try (Topics topics = new Topics(broker.address(), settings)) {
                try (ManagementProcess second = ManagementProcess.start(settings, environment)) {
                    second.uri("/");
                    accepted.forEach(topics::task); // an accepted task is sent by the next process
                    long first = accepted.get(0);
                    topics.outcome(first, "{\"correlation_id\":%d,\"res\":\"Ok\",\"description\":\"\"}".formatted(first));
                    await().pollDelay(Duration.ZERO).pollInterval(Duration.ofMillis(5)).atMost(30, SECONDS).until(() -> topics.committed() == 1);
                    second.kill();
                }
            }

            try (ManagementProcess third = ManagementProcess.start(settings, environment)) {
                JsonNode list = JSON.readTree(send(as("ada", third.uri("/api/v1/tasks"))).body()).get("tasks");
                assertThat(list.valueStream().map(task -> task.get("id").longValue())).containsExactlyInAnyOrderElementsOf(accepted);
                assertThat(list.get(list.size() - 1).get("state").stringValue()).as("an outcome whose offset is committed").isEqualTo("ok");
                HttpResponse<String> next = send(submission(third.uri("/api/v1/tasks"), "https://example.com/next.jpg"));
                assertThat(JSON.readTree(next.body()).get("id").longValue()).as("ids go on").isGreaterThan(accepted.get(accepted.size() - 1));
                await().atMost(20, SECONDS).untilAsserted(() -> assertThat(sink.spans()).as("OTEL_* is all that tracing takes")
                        .anySatisfy(span -> assertThat(span.service()).isEqualTo("renamed")));
                assertThat(third.terminate()).as("SIGTERM ends it in order").isEqualTo(143);
            }
        }
    }

    @Test
    void without_users_the_start_fails_and_says_why() throws Exception {
        Management settings = Management.with("127.0.0.1:9", directory).set("USERS", "").set("LOG_FORMAT", "xml");
        try (ManagementProcess process = ManagementProcess.start(settings, Map.of())) {
            assertThat(process.exitCode()).isEqualTo(1);
            assertThat(process.output()).contains("USERS is not set, and there is no default user", "Set USERS to name:{bcrypt}hash",
                    "LOG_FORMAT is \"xml\"").doesNotContain("\tat ");
        }
    }

    private static HttpRequest.Builder submission(URI tasks, String url) {
        return as("ada", tasks).header("Content-Type", "application/json").POST(BodyPublishers.ofString("{\"url\":\"" + url + "\"}"));
    }
}
