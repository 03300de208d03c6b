package io.imagepipeline.management.harness;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Executors;

/** As much of an S3 server as reading objects needs. The real one is in the system tests. */
public final class FakeStore {
    private record Stored(String contentType, byte[] bytes, int sent) {}

    private final InetSocketAddress address;
    private HttpServer server;
    private final Map<String, Stored> objects = new ConcurrentHashMap<>();
    private final List<String> authorizations = new CopyOnWriteArrayList<>();
    private volatile boolean refusing;

    public FakeStore() throws IOException {
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        address = server.getAddress();
        serve();
    }

    private void serve() {
        server.setExecutor(Executors.newCachedThreadPool());
        server.createContext("/", this::answer);
        server.start();
    }

    /** Again, at the same address. */
    public void start() throws IOException {
        server = HttpServer.create(address, 0);
        serve();
    }

    /** Connections are refused until it starts again. */
    public void stop() {
        server.stop(0);
    }

    public String endpoint() {
        return "http://127.0.0.1:" + address.getPort();
    }

    public void put(String bucket, String key, String contentType, byte[] bytes) {
        objects.put("/" + bucket + "/" + key, new Stored(contentType, bytes, bytes.length));
    }

    /** Promises all of the object, and hangs up after {@code sent} bytes. */
    public void putBroken(String bucket, String key, String contentType, byte[] bytes, int sent) {
        objects.put("/" + bucket + "/" + key, new Stored(contentType, bytes, sent));
    }

    public void refuse(boolean yes) {
        refusing = yes;
    }

    public List<String> authorizations() {
        return authorizations;
    }

    private void answer(HttpExchange exchange) throws IOException {
        authorizations.add(String.valueOf(exchange.getRequestHeaders().getFirst("Authorization")));
        Stored object = objects.get(exchange.getRequestURI().getPath());
        if (refusing) {
            error(exchange, 403, "AccessDenied");
        } else if (object == null) {
            error(exchange, 404, "NoSuchKey");
        } else {
            if (object.contentType != null) {
                exchange.getResponseHeaders().set("Content-Type", object.contentType);
            }
            exchange.sendResponseHeaders(200, object.bytes.length);
            exchange.getResponseBody().write(object.bytes, 0, object.sent);
            exchange.getResponseBody().flush();
            exchange.close();
        }
    }

    private static void error(HttpExchange exchange, int status, String code) throws IOException {
        byte[] body = ("<?xml version=\"1.0\"?><Error><Code>" + code + "</Code><Message>refused</Message></Error>").getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().set("Content-Type", "application/xml");
        exchange.sendResponseHeaders(status, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }
}
