package io.imagepipeline.management.settings;

/** One setting that can't be used: which, what is wrong with it, and what to do. Never holds a secret. */
public final class InvalidSetting extends RuntimeException {
    private final String remedy;

    public InvalidSetting(String name, String problem, String remedy) {
        super(name + " " + problem);
        this.remedy = remedy;
    }

    public String remedy() {
        return remedy;
    }
}
