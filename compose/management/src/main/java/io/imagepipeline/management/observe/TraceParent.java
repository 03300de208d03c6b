package io.imagepipeline.management.observe;

import io.opentelemetry.api.trace.propagation.W3CTraceContextPropagator;
import io.opentelemetry.context.Context;
import io.opentelemetry.context.Scope;
import io.opentelemetry.context.propagation.TextMapGetter;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;

/** A place in a trace as text, so that a row can keep it and work done later still belongs there. */
public final class TraceParent {
    private static final String HEADER = "traceparent";
    private static final W3CTraceContextPropagator W3C = W3CTraceContextPropagator.getInstance();
    private static final TextMapGetter<String> GETTER = new TextMapGetter<>() {
        @Override
        public Iterable<String> keys(String traceparent) {
            return Set.of(HEADER);
        }

        @Override
        public String get(String traceparent, String key) {
            return HEADER.equals(key) ? traceparent : null;
        }
    };

    private TraceParent() {}

    /** Of the current span; null without one. */
    public static String current() {
        Map<String, String> headers = new HashMap<>();
        W3C.inject(Context.current(), headers, Map::put);
        return headers.get(HEADER);
    }

    /** What is done until the scope closes belongs below that place; null or nonsense starts a trace of its own. */
    public static Scope makeCurrent(String traceparent) {
        return W3C.extract(Context.root(), traceparent, GETTER).makeCurrent();
    }
}
