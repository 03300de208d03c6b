package io.imagepipeline.management.harness;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** The golden messages of {@code fixtures/wire}, which the downloader's tests read too. */
public final class Golden {
    private static final JsonMapper JSON = JsonMapper.builder().build();

    private Golden() {}

    /** @param list {@code tasks} or {@code outcomes} of cases.json */
    public static Stream<JsonNode> cases(String list) {
        return json("cases.json").get(list).valueStream();
    }

    public static JsonNode json(String file) {
        return JSON.readTree(bytes(file));
    }

    /** Null for a record without a payload. */
    public static byte[] payload(JsonNode goldenCase) {
        return goldenCase.get("file").isNull() ? null : bytes(goldenCase.get("file").stringValue());
    }

    private static byte[] bytes(String file) {
        try {
            return Files.readAllBytes(folder().resolve(file));
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }

    private static Path folder() {
        for (Path place = Path.of("").toAbsolutePath(); place != null; place = place.getParent()) {
            if (Files.isDirectory(place.resolve("fixtures/wire"))) {
                return place.resolve("fixtures/wire");
            }
        }
        throw new IllegalStateException("fixtures/wire not found above " + Path.of("").toAbsolutePath()
                + ": run the tests inside the whole repository");
    }
}
