package io.imagepipeline.management.harness;

import io.imagepipeline.management.ManagementApplication;
import java.io.File;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/** The application as a process of its own, which can be killed. */
public final class ManagementProcess implements AutoCloseable {
    private static final Pattern PORT = Pattern.compile("Tomcat started on port (\\d+)");

    private final Process process;
    private final Path log;

    private ManagementProcess(Process process, Path log) {
        this.process = process;
        this.log = log;
    }

    /** @param environment what an operator would set, beside the settings */
    public static ManagementProcess start(Management settings, Map<String, String> environment) throws IOException {
        List<String> command = new ArrayList<>(List.of(ProcessHandle.current().info().command().orElse("java"), "-Xmx192m", "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1", "-cp", classPath(), ManagementApplication.class.getName()));
        command.addAll(List.of(settings.set("LOG_LEVEL", "info").arguments()));
        Path log = Files.createTempFile("management", ".log");
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(log.toFile());
        builder.environment().putAll(environment);
        return new ManagementProcess(builder.start(), log);
    }

    /** Without the tests' own classes, whose logging would say nothing. */
    private static String classPath() {
        return Arrays.stream(System.getProperty("java.class.path").split(File.pathSeparator))
                .filter(entry -> !entry.endsWith("test-classes"))
                .collect(Collectors.joining(File.pathSeparator));
    }

    /** Waits for the first of its two ports, that of the API. */
    public URI uri(String path) throws Exception {
        Instant end = Instant.now().plus(Duration.ofSeconds(90));
        while (process.isAlive() && Instant.now().isBefore(end)) {
            Matcher port = PORT.matcher(output());
            if (port.find()) {
                return URI.create("http://127.0.0.1:" + port.group(1) + path);
            }
            Thread.sleep(100);
        }
        throw new AssertionError("not started:\n" + output());
    }

    public String output() throws IOException {
        return Files.readString(log);
    }

    /** As {@code kill -9}: no shutdown hook runs. */
    public void kill() throws InterruptedException {
        process.destroyForcibly().waitFor();
    }

    /** As {@code kill}. @return the exit code */
    public int terminate() throws InterruptedException {
        process.destroy();
        return exitCode();
    }

    public int exitCode() throws InterruptedException {
        if (!process.waitFor(60, TimeUnit.SECONDS)) {
            throw new AssertionError("still running after a minute");
        }
        return process.exitValue();
    }

    @Override
    public void close() throws Exception {
        kill();
        Files.delete(log);
    }
}
