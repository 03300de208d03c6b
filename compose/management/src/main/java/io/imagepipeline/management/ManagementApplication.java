package io.imagepipeline.management;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.scheduling.annotation.EnableScheduling;

/**
 * Takes picture URLs from users and shows what became of them. The way of the data: {@code task} (a URL becomes a row),
 * {@code outbox} (the row becomes a record), {@code outcome} (a record becomes the row's outcome), {@code picture} (what was
 * stored is served). Killed at any moment, it goes on where its database stands.
 */
@SpringBootApplication
@EnableScheduling
public class ManagementApplication {
    public static void main(String[] args) {
        SpringApplication.run(ManagementApplication.class, args);
    }
}
