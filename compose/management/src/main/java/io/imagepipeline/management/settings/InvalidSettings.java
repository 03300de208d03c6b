package io.imagepipeline.management.settings;

import java.util.List;

/** The application can't start with these settings. Every problem is listed, not only the first. */
public final class InvalidSettings extends RuntimeException {
    private final transient List<InvalidSetting> problems;

    public InvalidSettings(List<InvalidSetting> problems) {
        super(String.join("; ", problems.stream().map(InvalidSetting::getMessage).toList()));
        this.problems = List.copyOf(problems);
    }

    public List<InvalidSetting> problems() {
        return problems;
    }
}
