package io.imagepipeline.management.settings;

import org.springframework.context.ApplicationContextInitializer;
import org.springframework.context.ConfigurableApplicationContext;

/** Reads the settings before the first bean exists, so that a wrong one is told before a port or a file is opened. */
final class SettingsInitializer implements ApplicationContextInitializer<ConfigurableApplicationContext> {
    @Override
    public void initialize(ConfigurableApplicationContext context) {
        if (context.getParent() == null) {
            context.getBeanFactory().registerSingleton("settings", Settings.read(context.getEnvironment()));
        }
    }
}
