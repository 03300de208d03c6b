package io.imagepipeline.management.settings;

import java.util.HashMap;
import java.util.Map;
import org.springframework.boot.EnvironmentPostProcessor;
import org.springframework.boot.SpringApplication;
import org.springframework.core.env.ConfigurableEnvironment;
import org.springframework.core.env.MapPropertySource;

/** What Spring must know under a name of its own, made from our settings. Judges nothing: logging isn't up yet. */
final class DerivedProperties implements EnvironmentPostProcessor {
    @Override
    public void postProcessEnvironment(ConfigurableEnvironment environment, SpringApplication application) {
        Map<String, Object> derived = new HashMap<>();
        // H2 refuses a relative path that doesn't start with a dot.
        derived.put("pipeline.database-dir", Settings.databaseDir(environment).toString());
        if (environment.getProperty("LOG_FORMAT", "text").strip().equalsIgnoreCase("json")) {
            derived.put("logging.structured.format.console", "ecs");
        }
        environment.getPropertySources().addLast(new MapPropertySource("derivedProperties", derived));
    }
}
