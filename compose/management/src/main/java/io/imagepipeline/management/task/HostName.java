package io.imagepipeline.management.task;

import java.net.IDN;
import java.util.Locale;
import java.util.Optional;
import java.util.regex.Pattern;

/** One spelling for each host, so that a rule about hosts can't be escaped by spelling one differently. */
final class HostName {
    // With the underscore: no host name by the book, but pictures are served from such hosts.
    private static final Pattern LABEL = Pattern.compile("[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?");
    private static final Pattern NUMERIC = Pattern.compile("\\d+|0x[0-9a-f]*");
    private static final Pattern IPV4 = Pattern.compile("((25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)(\\.(?!$)|$)){4}");

    private HostName() {}

    /**
     * Lower case, punycode, without the trailing dot. Empty for what is neither a name nor an IPv4 address in dotted
     * decimal: the other forms of an address (octal, hexadecimal, one number) would be two spellings of one host.
     */
    static Optional<String> canonical(String host) {
        String ascii;
        try {
            ascii = IDN.toASCII(host, IDN.ALLOW_UNASSIGNED).toLowerCase(Locale.ROOT);
        } catch (IllegalArgumentException notAName) {
            return Optional.empty();
        }
        if (ascii.endsWith(".")) {
            ascii = ascii.substring(0, ascii.length() - 1);
        }
        if (ascii.isEmpty() || ascii.length() > 253) {
            return Optional.empty();
        }
        String[] labels = ascii.split("\\.", -1);
        for (String label : labels) {
            if (!LABEL.matcher(label).matches()) {
                return Optional.empty();
            }
        }
        boolean address = NUMERIC.matcher(labels[labels.length - 1]).matches();
        return address && !IPV4.matcher(ascii).matches() ? Optional.empty() : Optional.of(ascii);
    }
}
