package io.imagepipeline.management.settings;

import io.imagepipeline.management.account.Account;
import io.imagepipeline.management.task.BlockedDomains;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.function.Supplier;
import java.util.regex.Pattern;
import org.springframework.core.env.PropertyResolver;

/**
 * The application's own settings, checked all at once before anything is started.
 *
 * @param users       USERS: {@code name:{noop}password} or {@code name:{bcrypt}hash}, comma separated; no default
 * @param blocked     BLOCKED_DOMAINS: comma separated, subdomains included
 * @param inputTopic  KAFKA_INPUT_TOPIC: tasks go there
 * @param outputTopic KAFKA_OUTPUT_TOPIC: outcomes come from there
 * @param databaseDir DATABASE_DIR: the database's files; absolute, exists and can be written
 * @param s3          S3_*: where the pictures are read from
 */
public record Settings(
        List<Account> users,
        BlockedDomains blocked,
        String inputTopic,
        String outputTopic,
        Path databaseDir,
        S3Settings s3) {

    private static final Pattern TOPIC = Pattern.compile("[a-zA-Z0-9._-]{1,249}");
    private static final Set<String> LOG_FORMATS = Set.of("text", "json");

    /** @throws InvalidSettings naming every setting that can't be used */
    public static Settings read(PropertyResolver environment) {
        var reader = new Reader(environment);
        var settings = new Settings(
                reader.check(() -> Account.parseAll(reader.text("USERS", "")), List.of()),
                reader.check(() -> BlockedDomains.parse(reader.text("BLOCKED_DOMAINS", "")), BlockedDomains.NONE),
                reader.check(() -> topic("KAFKA_INPUT_TOPIC", reader.text("KAFKA_INPUT_TOPIC", "urls_new")), ""),
                reader.check(() -> topic("KAFKA_OUTPUT_TOPIC", reader.text("KAFKA_OUTPUT_TOPIC", "urls_done")), ""),
                reader.check(() -> writableDirectory(databaseDir(environment)), Path.of(".")),
                reader.check(() -> s3(reader), null));
        reader.check(() -> logFormat(reader.text("LOG_FORMAT", "text")), "");
        reader.check(() -> port("HTTP_PORT", reader.text("HTTP_PORT", "8080")), 0);
        reader.check(() -> port("ACTUATOR_PORT", reader.text("ACTUATOR_PORT", "8081")), 0);
        if (!reader.problems.isEmpty()) {
            throw new InvalidSettings(reader.problems);
        }
        return settings;
    }

    static Path databaseDir(PropertyResolver environment) {
        return Path.of(environment.getProperty("DATABASE_DIR", "./data")).toAbsolutePath().normalize();
    }

    private static Path writableDirectory(Path directory) {
        if (directory.toString().contains(";")) {
            throw new InvalidSetting("DATABASE_DIR", "holds a semicolon", "Set DATABASE_DIR to a path without one.");
        }
        try {
            Files.createDirectories(directory);
            Files.delete(Files.createTempFile(directory, "writable", ".tmp"));
            return directory;
        } catch (IOException failure) {
            throw new InvalidSetting("DATABASE_DIR", "(" + directory + ") can't be written: " + failure,
                    "Set DATABASE_DIR to a directory that this user may create and write.");
        }
    }

    private static String topic(String name, String value) {
        if (!TOPIC.matcher(value).matches()) {
            throw new InvalidSetting(name, "is not a topic name: \"" + value + "\"",
                    "Set " + name + " to 1 to 249 letters, digits, dots, underscores or dashes.");
        }
        return value;
    }

    private static int port(String name, String value) {
        try {
            int port = Integer.parseInt(value);
            if (port >= 0 && port <= 65535) {
                return port;
            }
        } catch (NumberFormatException notANumber) {
            // told below
        }
        throw new InvalidSetting(name, "is not a port: \"" + value + "\"", "Set " + name + " to a number from 1 to 65535.");
    }

    private static String logFormat(String value) {
        if (!LOG_FORMATS.contains(value.toLowerCase(Locale.ROOT))) {
            throw new InvalidSetting("LOG_FORMAT", "is \"" + value + "\"", "Set LOG_FORMAT to text or json.");
        }
        return value;
    }

    private static S3Settings s3(Reader reader) {
        String endpoint = reader.text("S3_ENDPOINT", "");
        String access = reader.text("S3_ACCESS", "");
        String secret = reader.text("S3_SECRET", "");
        if (access.isEmpty() != secret.isEmpty()) {
            throw new InvalidSetting(access.isEmpty() ? "S3_ACCESS" : "S3_SECRET", "is missing beside the other one",
                    "Set both S3_ACCESS and S3_SECRET, or neither to use AWS's own variables.");
        }
        URI uri = null;
        if (!endpoint.isEmpty()) {
            try {
                uri = URI.create(endpoint);
            } catch (IllegalArgumentException notAUri) {
                // told below
            }
            if (uri == null || uri.getHost() == null || !Set.of("http", "https").contains(uri.getScheme())) {
                throw new InvalidSetting("S3_ENDPOINT", "is not an http or https URL: \"" + endpoint + "\"",
                        "Set S3_ENDPOINT to something like http://127.0.0.1:9000, or unset it for AWS.");
            }
        }
        return new S3Settings(uri, reader.text("S3_REGION_NAME", "us-east-1"), reader.text("S3_BUCKET_NAME", "images"),
                access, secret);
    }

    /** Collects problems so that all are told at once. */
    private static final class Reader {
        private final PropertyResolver environment;
        private final List<InvalidSetting> problems = new ArrayList<>();

        Reader(PropertyResolver environment) {
            this.environment = environment;
        }

        String text(String name, String byDefault) {
            String value = environment.getProperty(name, byDefault).strip();
            return value.isEmpty() ? byDefault : value;
        }

        <T> T check(Supplier<T> read, T otherwise) {
            try {
                return read.get();
            } catch (InvalidSetting problem) {
                problems.add(problem);
                return otherwise;
            }
        }
    }
}
