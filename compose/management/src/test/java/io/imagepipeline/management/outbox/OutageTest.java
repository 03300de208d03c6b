package io.imagepipeline.management.outbox;

import static io.imagepipeline.management.harness.Management.send;
import static java.util.concurrent.TimeUnit.SECONDS;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.imagepipeline.management.harness.Broker;
import io.imagepipeline.management.harness.Management;
import io.imagepipeline.management.harness.Topics;
import java.net.http.HttpRequest;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.awaitility.core.ThrowingRunnable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class OutageTest {
    private static final String OK = "{\"correlation_id\":%d,\"res\":\"Ok\",\"description\":\"\"}";
    private static final String TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";

    @TempDir Path directory;

    @Test
    void a_broker_that_is_away_from_the_start_delays_no_answer_and_loses_nothing() throws Exception {
        try (Broker broker = Broker.away(); Management management = Management.with(broker.address(), directory)) {
            Instant began = Instant.now();
            management.start();
            assertThat(Duration.between(began, Instant.now())).as("start").isLessThan(Duration.ofSeconds(60));
            assertThat(send(HttpRequest.newBuilder(management.actuator("/health/readiness"))).statusCode()).isEqualTo(200);

            management.submit("ada", "https://example.com/warm-up.jpg");
            List<Long> ids = new ArrayList<>();
            for (int i = 0; i < 5; i++) {
                Instant asked = Instant.now();
                ids.add(management.submit("ada", "https://example.com/" + i + ".jpg"));
                assertThat(Duration.between(asked, Instant.now())).as("answer").isLessThan(Duration.ofSeconds(1));
            }
            var traced = send(management.submission("ada", "{\"url\":\"https://example.com/traced.jpg\"}")
                    .header("traceparent", "00-" + TRACE + "-00f067aa0ba902b7-01"));
            long tracedId = Management.JSON.readTree(traced.body()).get("id").longValue();
            assertThat(management.state("ada", tracedId)).isEqualTo("waiting");
            assertThat(management.metric("management_outbox_unpublished")).isEqualTo(7);

            Instant asked = Instant.now();
            management.stop();
            assertThat(Duration.between(asked, Instant.now())).as("stop").isLessThan(Duration.ofSeconds(8));
            management.start();
            assertThat(management.state("ada", tracedId)).as("the view survives a restart").isEqualTo("waiting");
            broker.start();
            broker.createTopics(management.get("KAFKA_INPUT_TOPIC"), management.get("KAFKA_OUTPUT_TOPIC"));
            Instant healed = Instant.now();

            try (Topics topics = new Topics(broker.address(), management)) {
                ids.add(tracedId);
                ids.forEach(topics::task);
                assertThat(Duration.between(healed, Instant.now())).as("recovery").isLessThan(Duration.ofSeconds(15));
                for (long id : ids) {
                    topics.outcome(id, OK.formatted(id));
                }
                for (long id : ids) {
                    eventually(() -> assertThat(management.state("ada", id)).isEqualTo("ok"));
                }
                assertThat(traceparent(topics.task(tracedId))).as("sent after a restart, still in the request's trace").startsWith("00-" + TRACE + "-");
                assertThat(topics.recordsSeen()).as("each once, the warm-up's included").isEqualTo(7);
                assertThat(management.metric("management_outbox_unpublished")).isZero();
            }
        }
    }

    @Test
    void a_broker_that_goes_and_comes_back_loses_nothing() throws Exception {
        try (Broker broker = Broker.away(); Management management = Management.with(broker.address(), directory)) {
            broker.start();
            broker.createTopics(management.get("KAFKA_INPUT_TOPIC"), management.get("KAFKA_OUTPUT_TOPIC"));
            management.start();
            long before = management.submit("ada", "https://example.com/before.jpg");
            eventually(() -> assertThat(management.state("ada", before)).isEqualTo("sent"));

            broker.stop();
            List<Long> during = new ArrayList<>();
            for (int i = 0; i < 3; i++) {
                Instant asked = Instant.now();
                during.add(management.submit("ada", "https://example.com/during.jpg"));
                assertThat(Duration.between(asked, Instant.now())).as("answer").isLessThan(Duration.ofSeconds(1));
            }
            eventually(() -> assertThat(management.metric("management_relay_failures_total")).isPositive());
            assertThat(management.state("ada", during.get(0))).isEqualTo("waiting");
            broker.start();

            try (Topics topics = new Topics(broker.address(), management)) {
                for (long id : during) {
                    topics.task(id);
                    topics.outcome(id, OK.formatted(id));
                }
                topics.outcome(before, OK.formatted(before));
                during.add(before);
                for (long id : during) {
                    eventually(() -> assertThat(management.state("ada", id)).isEqualTo("ok"));
                }
            }
        }
    }

    @Test
    void a_broker_whose_name_does_not_resolve_does_not_end_the_application() throws Exception {
        try (Management management = Management.with("kafka.invalid:9092", directory).start()) {
            long id = management.submit("ada", "https://example.com/a.jpg");
            eventually(() -> assertThat(management.metric("management_relay_failures_total")).isGreaterThanOrEqualTo(2));
            eventually(() -> assertThat(management.metric("management_listener_failures_total")).isGreaterThanOrEqualTo(2));
            assertThat(management.state("ada", id)).isEqualTo("waiting");
            assertThat(send(HttpRequest.newBuilder(management.actuator("/health/liveness"))).statusCode()).isEqualTo(200);
        }
    }

    private static String traceparent(ConsumerRecord<String, byte[]> record) {
        return new String(record.headers().lastHeader("traceparent").value(), StandardCharsets.UTF_8);
    }

    private static void eventually(ThrowingRunnable claim) {
        await().atMost(30, SECONDS).pollInterval(Duration.ofMillis(100)).untilAsserted(claim);
    }
}
