package io.imagepipeline.management.outcome;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.json.JsonFactory;

/**
 * Payload bytes become an {@link Outcome}, or {@link UnreadableOutcome} says why not. Pure. As strict as the contract and
 * no stricter: unknown fields are skipped, whatever they hold; null is an absent optional field.
 */
final class OutcomeReader {
    private static final int DESCRIPTION_LENGTH_MAX = 4096;
    private static final Set<String> WHOLE = Set.of("correlation_id", "attempts", "source_bytes", "width", "height",
            "thumbnail_bytes", "thumbnail_width", "thumbnail_height");
    private static final Map<String, Integer> TEXT_LENGTH_MAX = Map.of("res", 5, "description", Integer.MAX_VALUE,
            "source_sha256", 64, "content_type", 100, "thumbnail_sha256", 64, "code", 100);
    private static final String FLAG = "permanent";

    private final JsonFactory json = new JsonFactory();

    Outcome read(byte[] payload) {
        if (payload == null || payload.length == 0) {
            throw new UnreadableOutcome("no payload");
        }
        Fields fields = new Fields();
        try (JsonParser parser = json.createParser(utf8(payload))) {
            readObject(parser, fields.values);
        } catch (JacksonException invalid) {
            throw new UnreadableOutcome("not one JSON object: " + invalid.getOriginalMessage(), invalid);
        }
        return new Outcome(
                (Long) fields.required("correlation_id"),
                Outcome.Res.of((String) fields.required("res")).orElseThrow(() -> new UnreadableOutcome("res is neither Ok nor Error")),
                shortened((String) fields.required("description")),
                fields.whole("attempts"),
                fields.whole("source_bytes"),
                fields.text("source_sha256"),
                fields.whole("width"),
                fields.whole("height"),
                fields.text("content_type"),
                fields.whole("thumbnail_bytes"),
                fields.text("thumbnail_sha256"),
                fields.whole("thumbnail_width"),
                fields.whole("thumbnail_height"),
                fields.text("code"),
                (Boolean) fields.values.get(FLAG));
    }

    /** The parser itself would also take UTF-16 and a byte order mark. */
    private static String utf8(byte[] payload) {
        try {
            return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(payload)).toString();
        } catch (CharacterCodingException invalid) {
            throw new UnreadableOutcome("not UTF-8", invalid);
        }
    }

    private static void readObject(JsonParser parser, Map<String, Object> values) {
        if (parser.nextToken() != JsonToken.START_OBJECT) {
            throw new UnreadableOutcome("not a JSON object");
        }
        while (parser.nextToken() == JsonToken.PROPERTY_NAME) {
            String name = parser.currentName();
            JsonToken token = parser.nextToken();
            if (!WHOLE.contains(name) && !TEXT_LENGTH_MAX.containsKey(name) && !name.equals(FLAG)) {
                parser.skipChildren();
                continue;
            }
            if (values.containsKey(name)) {
                throw new UnreadableOutcome(name + " is there twice");
            }
            values.put(name, token == JsonToken.VALUE_NULL ? null : value(parser, name, token));
        }
        if (parser.nextToken() != null) {
            throw new UnreadableOutcome("something follows the JSON object");
        }
    }

    private static Object value(JsonParser parser, String name, JsonToken token) {
        if (WHOLE.contains(name)) {
            if (token != JsonToken.VALUE_NUMBER_INT) {
                throw new UnreadableOutcome(name + " is not an integer");
            }
            if (parser.getBigIntegerValue().signum() < 0 || parser.getBigIntegerValue().bitLength() > 63) {
                throw new UnreadableOutcome(name + " is not from 0 to 2^63-1");
            }
            return parser.getLongValue();
        }
        if (name.equals(FLAG)) {
            if (!token.isBoolean()) {
                throw new UnreadableOutcome(name + " is not a boolean");
            }
            return parser.getBooleanValue();
        }
        if (token != JsonToken.VALUE_STRING) {
            throw new UnreadableOutcome(name + " is not a string");
        }
        String text = parser.getString();
        if (text.length() > TEXT_LENGTH_MAX.get(name)) {
            throw new UnreadableOutcome(name + " is longer than " + TEXT_LENGTH_MAX.get(name) + " characters");
        }
        return text;
    }

    private static String shortened(String description) {
        if (description.length() <= DESCRIPTION_LENGTH_MAX) {
            return description;
        }
        return description.substring(0, DESCRIPTION_LENGTH_MAX - 1) + "…";
    }

    private static final class Fields {
        private final Map<String, Object> values = new HashMap<>();

        Object required(String name) {
            Object value = values.get(name);
            if (value == null) {
                throw new UnreadableOutcome(name + " is missing");
            }
            return value;
        }

        Long whole(String name) {
            return (Long) values.get(name);
        }

        String text(String name) {
            return (String) values.get(name);
        }
    }
}
