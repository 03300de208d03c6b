package io.imagepipeline.management.harness;

import java.nio.file.Files;
import java.nio.file.Path;

/** One running application with everything around it, for all tests that neither stop nor starve it. */
public record Stack(Broker broker, FakeStore store, SpanSink sink, Management management, Topics topics) {
    public static final String BUCKET = "pictures-of-the-tests";

    private static Stack shared;

    /** Runs until the tests end. */
    public static synchronized Stack shared() throws Exception {
        if (shared == null) {
            shared = start();
        }
        return shared;
    }

    private static Stack start() throws Exception {
        Path directory = Files.createTempDirectory("stack");
        Broker broker = Broker.shared();
        FakeStore store = new FakeStore();
        SpanSink sink = new SpanSink();
        Management management = Management.with(broker.address(), directory)
                .set("S3_ENDPOINT", store.endpoint())
                .set("S3_BUCKET_NAME", BUCKET)
                .set("management.opentelemetry.tracing.export.otlp.endpoint", sink.endpoint() + "/v1/traces");
        broker.createTopics(management.get("KAFKA_INPUT_TOPIC"), management.get("KAFKA_OUTPUT_TOPIC"));
        management.start();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            management.close();
            Directories.delete(directory);
        }));
        return new Stack(broker, store, sink, management, new Topics(broker.address(), management));
    }
}
