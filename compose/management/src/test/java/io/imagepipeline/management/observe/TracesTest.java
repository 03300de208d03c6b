package io.imagepipeline.management.observe;

import static io.imagepipeline.management.harness.Management.JSON;
import static io.imagepipeline.management.harness.Management.as;
import static io.imagepipeline.management.harness.Management.send;
import static io.opentelemetry.proto.trace.v1.Span.SpanKind.SPAN_KIND_CONSUMER;
import static io.opentelemetry.proto.trace.v1.Span.SpanKind.SPAN_KIND_PRODUCER;
import static io.opentelemetry.proto.trace.v1.Span.SpanKind.SPAN_KIND_SERVER;
import static java.util.concurrent.TimeUnit.SECONDS;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.imagepipeline.management.harness.Management;
import io.imagepipeline.management.harness.Stack;
import io.imagepipeline.management.harness.SpanSink;
import io.imagepipeline.management.harness.Topics;
import java.net.http.HttpRequest;
import java.nio.charset.StandardCharsets;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

class TracesTest {
    private static final String TRACE = "0af7651916cd43dd8448eb211c80319c";
    private static final String CALLER = "b7ad6b7169203331";
    private static final String DOWNLOADER = "00f067aa0ba902b7";

    private static Management management;
    private static SpanSink sink;
    private static Topics topics;
    private static String newTopic;
    private static String doneTopic;

    @BeforeAll
    static void start() throws Exception {
        Stack stack = Stack.shared();
        management = stack.management();
        sink = stack.sink();
        topics = stack.topics();
        newTopic = management.get("KAFKA_INPUT_TOPIC");
        doneTopic = management.get("KAFKA_OUTPUT_TOPIC");
    }

    @Test
    void one_trace_leads_from_the_caller_through_request_send_and_process() throws Exception {
        var answer = send(management.submission("ada", "{\"url\":\"https://example.com/a.jpg?secret=1\"}").header("traceparent", "00-" + TRACE + "-" + CALLER + "-03"));
        long id = JSON.readTree(answer.body()).get("id").longValue();
        String sent = new String(topics.task(id).headers().lastHeader("traceparent").value(), StandardCharsets.UTF_8);
        var outcome = new ProducerRecord<>(doneTopic, Long.toString(id),
                "{\"correlation_id\":%d,\"res\":\"Ok\",\"description\":\"\"}".formatted(id).getBytes(StandardCharsets.UTF_8));
        outcome.headers().add("traceparent", ("00-" + TRACE + "-" + DOWNLOADER + "-03").getBytes(StandardCharsets.UTF_8));
        topics.outcome(outcome);

        await().atMost(30, SECONDS).untilAsserted(() -> assertThat(sink.named("process " + doneTopic)).anyMatch(span -> span.trace().equals(TRACE)));
        await().atMost(30, SECONDS).untilAsserted(() -> assertThat(sink.named("POST /api/v1/tasks")).anyMatch(span -> span.trace().equals(TRACE)));

        SpanSink.Seen request = sink.only("POST /api/v1/tasks", TRACE);
        SpanSink.Seen send = sink.only("send " + newTopic, TRACE);
        SpanSink.Seen process = sink.only("process " + doneTopic, TRACE);
        assertThat(request.kind()).isEqualTo(SPAN_KIND_SERVER);
        assertThat(request.parent()).isEqualTo(CALLER);
        assertThat(request.service()).isEqualTo("management");
        assertThat(send.kind()).isEqualTo(SPAN_KIND_PRODUCER);
        assertThat(send.parent()).isEqualTo(request.id());
        assertThat(sent).startsWith("00-" + TRACE + "-" + send.id() + "-");
        assertThat(process.kind()).isEqualTo(SPAN_KIND_CONSUMER);
        assertThat(process.parent()).isEqualTo(DOWNLOADER);
        assertThat(send.attributes()).containsEntry("messaging.system", "kafka").containsEntry("messaging.destination.name", newTopic)
                .containsEntry("messaging.operation.type", "send").containsEntry("messaging.operation.name", "send")
                .containsEntry("messaging.kafka.message.key", Long.toString(id));
        assertThat(process.attributes()).containsEntry("messaging.system", "kafka").containsEntry("messaging.destination.name", doneTopic)
                .containsEntry("messaging.operation.type", "process").containsEntry("messaging.operation.name", "process")
                .containsEntry("messaging.consumer.group.name", management.get("KAFKA_CONSUMER_GROUP")).containsKey("messaging.kafka.offset");
        assertThat(sink.spans()).filteredOn(span -> span.trace().equals(TRACE)).hasSize(3)
                .allSatisfy(span -> assertThat(span.attributes().toString()).doesNotContain("secret"));
    }

    @Test
    void probes_ticks_and_security_make_no_spans() throws Exception {
        for (String path : new String[] {"/health", "/health/readiness", "/prometheus"}) {
            send(HttpRequest.newBuilder(management.actuator(path)));
        }
        send(as("ada", management.uri("/api/v1/tasks/1")));
        await().atMost(30, SECONDS).untilAsserted(() -> assertThat(sink.named("GET /api/v1/tasks/{id}")).isNotEmpty());
        // Longer than the listener's keeper and the exporter take for a turn.
        await().during(4, SECONDS).atMost(6, SECONDS).untilAsserted(() -> assertThat(sink.spans())
                .allSatisfy(span -> assertThat(span.name()).matches("(GET|POST|DELETE)( /.*)?|send .*|process .*"))
                .noneSatisfy(span -> assertThat(span.name()).contains("actuator")));
    }
}
