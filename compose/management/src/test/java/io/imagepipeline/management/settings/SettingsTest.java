package io.imagepipeline.management.settings;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.springframework.mock.env.MockEnvironment;

class SettingsTest {
    @TempDir Path directory;

    private MockEnvironment environment() {
        return new MockEnvironment()
                .withProperty("USERS", "ada:{noop}topsecret")
                .withProperty("DATABASE_DIR", directory.resolve("new/data").toString());
    }

    @Test
    void the_documented_defaults_hold() {
        Settings settings = Settings.read(environment());
        assertThat(settings.inputTopic()).isEqualTo("urls_new");
        assertThat(settings.outputTopic()).isEqualTo("urls_done");
        assertThat(settings.s3()).isEqualTo(new S3Settings(null, "us-east-1", "images", "", ""));
        assertThat(settings.blocked().domains()).isEmpty();
        assertThat(settings.databaseDir()).isDirectory();
    }

    @Test
    void every_unusable_setting_is_told_at_once() throws Exception {
        Path file = Files.createFile(directory.resolve("file"));
        MockEnvironment environment = new MockEnvironment()
                .withProperty("BLOCKED_DOMAINS", "*")
                .withProperty("KAFKA_INPUT_TOPIC", "urls/new")
                .withProperty("KAFKA_OUTPUT_TOPIC", "urls done")
                .withProperty("DATABASE_DIR", file.toString())
                .withProperty("S3_ENDPOINT", "localhost:9000")
                .withProperty("LOG_FORMAT", "xml")
                .withProperty("HTTP_PORT", "http")
                .withProperty("ACTUATOR_PORT", "70000");
        InvalidSettings invalid = catchThrowableOfType(InvalidSettings.class, () -> Settings.read(environment));
        assertThat(invalid.problems()).extracting(problem -> problem.getMessage().split(" ")[0]).containsExactly("USERS", "BLOCKED_DOMAINS",
                "KAFKA_INPUT_TOPIC", "KAFKA_OUTPUT_TOPIC", "DATABASE_DIR", "S3_ENDPOINT", "LOG_FORMAT", "HTTP_PORT", "ACTUATOR_PORT");
        assertThat(invalid.problems()).allSatisfy(problem -> assertThat(problem.remedy()).isNotBlank());
    }

    @Test
    void half_of_the_store_credentials_is_an_error_that_does_not_show_it() {
        InvalidSettings invalid = catchThrowableOfType(InvalidSettings.class,
                () -> Settings.read(environment().withProperty("S3_SECRET", "topsecret")));
        assertThat(invalid).hasMessageContaining("S3_ACCESS is missing").hasMessageNotContaining("topsecret");
    }

    @Test
    void a_secret_is_not_in_the_text_of_the_settings() {
        Settings settings = Settings.read(environment().withProperty("S3_ACCESS", "key").withProperty("S3_SECRET", "topsecret"));
        assertThat(settings.toString()).doesNotContain("topsecret");
    }
}
