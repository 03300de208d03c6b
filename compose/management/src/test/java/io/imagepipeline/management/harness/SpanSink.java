package io.imagepipeline.management.harness;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest;
import io.opentelemetry.proto.common.v1.KeyValue;
import io.opentelemetry.proto.trace.v1.Span;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.Collectors;

/** Takes spans by OTLP over HTTP, as a collector does. */
public final class SpanSink implements AutoCloseable {
    /** @param parent empty for a root */
    public record Seen(String service, String name, Span.SpanKind kind, String trace, String id, String parent, Map<String, String> attributes) {}

    private final HttpServer server;
    private final List<Seen> spans = new CopyOnWriteArrayList<>();

    public SpanSink() throws IOException {
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/v1/traces", this::take);
        server.start();
    }

    /** Without the path, as in OTEL_EXPORTER_OTLP_ENDPOINT. */
    public String endpoint() {
        return "http://127.0.0.1:" + server.getAddress().getPort();
    }

    public List<Seen> spans() {
        return List.copyOf(spans);
    }

    public List<Seen> named(String name) {
        return spans.stream().filter(span -> span.name.equals(name)).toList();
    }

    public Seen only(String name, String trace) {
        List<Seen> found = named(name).stream().filter(span -> span.trace.equals(trace)).toList();
        if (found.size() != 1) {
            throw new AssertionError(found.size() + " spans \"" + name + "\" in trace " + trace + " among " + spans);
        }
        return found.get(0);
    }

    private void take(HttpExchange exchange) throws IOException {
        var request = ExportTraceServiceRequest.parseFrom(exchange.getRequestBody());
        request.getResourceSpansList().forEach(resource -> {
            String service = attributes(resource.getResource().getAttributesList()).get("service.name");
            resource.getScopeSpansList().forEach(scope -> scope.getSpansList().forEach(span -> spans.add(new Seen(service, span.getName(),
                    span.getKind(), hex(span.getTraceId().toByteArray()), hex(span.getSpanId().toByteArray()),
                    hex(span.getParentSpanId().toByteArray()), attributes(span.getAttributesList())))));
        });
        exchange.sendResponseHeaders(200, -1);
        exchange.close();
    }

    private static Map<String, String> attributes(List<KeyValue> attributes) {
        return attributes.stream().collect(Collectors.toMap(KeyValue::getKey, attribute -> attribute.getValue().getStringValue()));
    }

    private static String hex(byte[] bytes) {
        return HexFormat.of().formatHex(bytes);
    }

    @Override
    public void close() {
        server.stop(0);
    }
}
