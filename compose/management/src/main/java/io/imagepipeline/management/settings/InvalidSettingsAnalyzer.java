package io.imagepipeline.management.settings;

import static java.util.stream.Collectors.joining;

import org.springframework.boot.diagnostics.AbstractFailureAnalyzer;
import org.springframework.boot.diagnostics.FailureAnalysis;

/** Prints {@link InvalidSettings} as a description and an action instead of a stack trace. */
final class InvalidSettingsAnalyzer extends AbstractFailureAnalyzer<InvalidSettings> {
    @Override
    protected FailureAnalysis analyze(Throwable rootFailure, InvalidSettings cause) {
        String description = cause.problems().stream().map(InvalidSetting::getMessage).collect(joining("\n"));
        String action = cause.problems().stream().map(InvalidSetting::remedy).collect(joining("\n"));
        return new FailureAnalysis(description, action, cause);
    }
}
