package io.imagepipeline.management.harness;

import io.imagepipeline.management.ManagementApplication;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.UUID;
import org.springframework.boot.SpringApplication;
import org.springframework.context.ConfigurableApplicationContext;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** The whole application, started as an operator would: by settings alone. Addressed by HTTP alone. */
public final class Management implements AutoCloseable {
    public static final JsonMapper JSON = JsonMapper.builder().build();
    private static final HttpClient HTTP = HttpClient.newBuilder().followRedirects(HttpClient.Redirect.NEVER).build();

    private final Map<String, String> settings;
    private ConfigurableApplicationContext context;

    private Management(Map<String, String> settings) {
        this.settings = settings;
    }

    /** Topics and group of its own; users ada and bob; evil.example is blocked. Not started. */
    public static Management with(String broker, Path directory) {
        String name = UUID.randomUUID().toString().substring(0, 8);
        Map<String, String> settings = new LinkedHashMap<>();
        settings.put("USERS", "ada:{noop}a-secret,bob:{noop}b-secret");
        settings.put("BLOCKED_DOMAINS", "evil.example, bücher.example");
        settings.put("KAFKA_BROKERS", broker);
        settings.put("KAFKA_INPUT_TOPIC", "new-" + name);
        settings.put("KAFKA_OUTPUT_TOPIC", "done-" + name);
        settings.put("KAFKA_CONSUMER_GROUP", "group-" + name);
        settings.put("S3_ENDPOINT", "http://127.0.0.1:9");
        settings.put("S3_ACCESS", "access");
        settings.put("S3_SECRET", "secret");
        settings.put("DATABASE_DIR", directory.toString());
        settings.put("HTTP_PORT", "0");
        settings.put("ACTUATOR_PORT", "0");
        settings.put("LOG_LEVEL", "error");
        settings.put("logging.level.org.apache.kafka", "error");
        return new Management(settings);
    }

    public Management set(String name, String value) {
        settings.put(name, value);
        return this;
    }

    public String get(String name) {
        return settings.get(name);
    }

    public String[] arguments() {
        return settings.entrySet().stream().map(setting -> "--" + setting.getKey() + "=" + setting.getValue()).toArray(String[]::new);
    }

    public Management start() {
        context = new SpringApplication(ManagementApplication.class).run(arguments());
        return this;
    }

    public void stop() {
        if (context != null) {
            context.close();
            context = null;
        }
    }

    @Override
    public void close() {
        stop();
    }

    /** For what can't be brought about from outside: a failure of the database. */
    public <T> T bean(Class<T> type) {
        return context.getBean(type);
    }

    public URI uri(String path) {
        return URI.create("http://127.0.0.1:" + context.getEnvironment().getProperty("local.server.port") + path);
    }

    public URI actuator(String path) {
        return URI.create("http://127.0.0.1:" + context.getEnvironment().getProperty("local.management.port") + "/actuator" + path);
    }

    public static HttpRequest.Builder as(String user, URI uri) {
        String credentials = Base64.getEncoder().encodeToString((user + ":" + user.charAt(0) + "-secret").getBytes(StandardCharsets.UTF_8));
        return HttpRequest.newBuilder(uri).header("Authorization", "Basic " + credentials);
    }

    public static HttpResponse<String> send(HttpRequest.Builder request) throws IOException, InterruptedException {
        return HTTP.send(request.build(), BodyHandlers.ofString());
    }

    public static HttpResponse<byte[]> download(HttpRequest.Builder request) throws IOException, InterruptedException {
        return HTTP.send(request.build(), BodyHandlers.ofByteArray());
    }

    public HttpRequest.Builder submission(String user, String body) {
        return as(user, uri("/api/v1/tasks")).header("Content-Type", "application/json").POST(BodyPublishers.ofString(body));
    }

    /** @return the task's id */
    public long submit(String user, String url) throws IOException, InterruptedException {
        HttpResponse<String> answer = send(submission(user, JSON.writeValueAsString(Map.of("url", url))));
        if (answer.statusCode() != 202) {
            throw new AssertionError("not accepted: " + answer.statusCode() + " " + answer.body());
        }
        return JSON.readTree(answer.body()).get("id").asLong();
    }

    public JsonNode task(String user, long id) throws IOException, InterruptedException {
        return JSON.readTree(send(as(user, uri("/api/v1/tasks/" + id))).body());
    }

    public String state(String user, long id) throws IOException, InterruptedException {
        return task(user, id).get("state").asString();
    }

    /** The value of one metric, labels included in its name; 0 while it isn't there. */
    public double metric(String name) throws IOException, InterruptedException {
        return send(HttpRequest.newBuilder(actuator("/prometheus"))).body().lines()
                .filter(line -> line.startsWith(name + " "))
                .mapToDouble(line -> Double.parseDouble(line.substring(name.length() + 1)))
                .sum();
    }
}
