package io.imagepipeline.management.task;

import io.imagepipeline.management.web.Refusal;
import java.io.IOException;
import java.io.InputStream;
import java.util.Locale;
import org.springframework.http.HttpStatus;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** The body of {@code POST /api/v1/tasks}: {@code {"url": "..."}}. Read by hand so that each mistake gets its own answer. */
final class SubmissionBody {
    static final int BYTES_MAX = 16 * 1024;

    private static final JsonMapper JSON = JsonMapper.builder().build();

    private SubmissionBody() {}

    /** @throws Refusal 400 or 413, saying what is wrong */
    static String url(InputStream body) throws IOException {
        byte[] bytes = body.readNBytes(BYTES_MAX + 1);
        if (bytes.length > BYTES_MAX) {
            throw new Refusal(HttpStatus.CONTENT_TOO_LARGE, "body_too_large", "The body is longer than " + BYTES_MAX + " bytes.");
        }
        JsonNode document;
        try {
            document = JSON.readTree(bytes);
        } catch (JacksonException invalid) {
            throw bad("not_json", "The body is not JSON" + place(invalid) + ": send {\"url\": \"https://...\"}.");
        }
        if (!document.isObject()) {
            throw bad("not_json", "The body is not a JSON object: send {\"url\": \"https://...\"}.");
        }
        JsonNode url = document.get("url");
        if (url == null || url.isNull()) {
            throw bad("field_missing", "The field url is missing: send {\"url\": \"https://...\"}.");
        }
        if (!url.isString()) {
            throw bad("field_type", "The field url must be a string, not " + url.getNodeType().name().toLowerCase(Locale.ROOT) + ".");
        }
        return url.stringValue();
    }

    private static String place(JacksonException invalid) {
        return invalid.getLocation() == null || invalid.getLocation().getLineNr() < 1 ? ""
                : " (line " + invalid.getLocation().getLineNr() + ", column " + invalid.getLocation().getColumnNr() + ")";
    }

    private static Refusal bad(String code, String detail) {
        return new Refusal(HttpStatus.BAD_REQUEST, code, detail);
    }
}
