package io.imagepipeline.management.task;

import java.net.URI;
import java.net.URISyntaxException;
import java.nio.charset.StandardCharsets;
import java.util.Locale;
import java.util.regex.Pattern;

/**
 * A URL that a task may name, in one canonical ASCII spelling: what was checked here is exactly what the downloader reads.
 * Judges the text only. Which addresses may be fetched is decided by the downloader, on the address it connects to.
 *
 * @param text the URL: host in lower case and punycode, other characters beyond ASCII percent-encoded, no fragment
 * @param host its host in canonical form
 */
public record TaskUrl(String text, String host) {
    public static final int LENGTH_MAX = 2048;

    private static final Pattern PORT = Pattern.compile("\\d{1,5}");

    /** @throws RefusedUrl saying what is wrong and what to do */
    public static TaskUrl parse(String given) {
        checkCharacters(given);
        URI uri;
        try {
            uri = new URI(given);
        } catch (URISyntaxException invalid) {
            throw invalid("The URL can't be read: " + invalid.getReason().toLowerCase(Locale.ROOT)
                    + (invalid.getIndex() < 0 ? "." : " at character " + (invalid.getIndex() + 1) + "."));
        }
        String scheme = checkScheme(uri);
        String authority = uri.getRawAuthority();
        if (authority == null || authority.isEmpty()) {
            throw invalid("The URL has no host: write it as https://host/path.");
        }
        if (authority.contains("@")) {
            throw new RefusedUrl("url_credentials_refused", "The URL holds a user name or password: leave out what stands before the @.");
        }
        int hostEnd = authority.startsWith("[") ? authority.indexOf(']') + 1 : authority.indexOf(':');
        if (hostEnd < 0) {
            hostEnd = authority.length();
        }
        String host = checkHost(uri, authority.substring(0, hostEnd));
        String port = checkPort(authority.substring(hostEnd));
        String text = scheme + "://" + host + port + encode(uri.getRawPath())
                + (uri.getRawQuery() == null ? "" : "?" + encode(uri.getRawQuery()));
        checkLength(text);
        return new TaskUrl(text, host);
    }

    /** For logs: a query may hold a secret. */
    public static String withoutQuery(String url) {
        int query = url.indexOf('?');
        return query < 0 ? url : url.substring(0, query);
    }

    private static void checkCharacters(String given) {
        if (given.isEmpty()) {
            throw invalid("The URL is empty.");
        }
        checkLength(given);
        for (int i = 0; i < given.length(); ) {
            int character = given.codePointAt(i);
            if (Character.isISOControl(character) || Character.getType(character) == Character.SURROGATE) {
                throw invalid("The URL has a control character or broken text at character " + (i + 1) + ": remove it.");
            }
            if (Character.isSpaceChar(character)) {
                throw invalid("The URL has a space at character " + (i + 1) + ": remove it, or write it as %20.");
            }
            if (character == '\\') {
                throw invalid("The URL has a backslash at character " + (i + 1) + ": write / or %5C.");
            }
            i += Character.charCount(character);
        }
    }

    private static void checkLength(String text) {
        if (text.length() > LENGTH_MAX) {
            throw new RefusedUrl("too_long", "The URL has " + text.length() + " characters (as it would be sent); at most "
                    + LENGTH_MAX + " are accepted.");
        }
    }

    private static String checkScheme(URI uri) {
        if (uri.getScheme() == null) {
            throw invalid("The URL has no scheme: start it with https:// or http://.");
        }
        String scheme = uri.getScheme().toLowerCase(Locale.ROOT);
        if (!scheme.equals("http") && !scheme.equals("https")) {
            throw new RefusedUrl("url_scheme_refused", "The URL's scheme is " + scheme + ": only http and https are fetched.");
        }
        return scheme;
    }

    private static String checkHost(URI uri, String host) {
        if (host.startsWith("[")) {
            if (uri.getHost() == null || host.contains("%")) {
                throw invalid("The URL's host is not an IPv6 address without a zone: " + host + ".");
            }
            return host.toLowerCase(Locale.ROOT);
        }
        if (host.isEmpty()) {
            throw invalid("The URL has no host: write it as https://host/path.");
        }
        return HostName.canonical(host).orElseThrow(() -> invalid("The URL's host is neither a host name nor an IPv4 address "
                + "in dotted decimal form: " + host + "."));
    }

    private static String checkPort(String colonAndPort) {
        if (colonAndPort.isEmpty() || colonAndPort.equals(":")) {
            return "";
        }
        String port = colonAndPort.substring(1);
        if (!colonAndPort.startsWith(":") || !PORT.matcher(port).matches()
                || Integer.parseInt(port) < 1 || Integer.parseInt(port) > 65535) {
            throw invalid("The URL's port is not a number from 1 to 65535: " + port + ".");
        }
        return ":" + Integer.parseInt(port);
    }

    private static String encode(String part) {
        StringBuilder ascii = new StringBuilder(part.length());
        part.codePoints().forEach(character -> {
            if (character < 0x80) {
                ascii.append((char) character);
            } else {
                for (byte unit : Character.toString(character).getBytes(StandardCharsets.UTF_8)) {
                    ascii.append('%').append(String.format("%02X", unit));
                }
            }
        });
        return ascii.toString();
    }

    private static RefusedUrl invalid(String message) {
        return new RefusedUrl("url_invalid", message);
    }
}
