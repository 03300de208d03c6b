package io.imagepipeline.management.task;

import io.imagepipeline.management.settings.InvalidSetting;
import java.util.HashSet;
import java.util.Optional;
import java.util.Set;

/** Domains that no picture may come from, each with all its subdomains. */
public record BlockedDomains(Set<String> domains) {
    public static final BlockedDomains NONE = new BlockedDomains(Set.of());

    /** Comma separated; upper case, a dot in front or behind, and unicode are understood. */
    public static BlockedDomains parse(String list) {
        Set<String> domains = new HashSet<>();
        for (String entry : list.split(",")) {
            String domain = entry.strip();
            if (domain.isEmpty()) {
                continue;
            }
            domains.add(HostName.canonical(domain.startsWith(".") ? domain.substring(1) : domain)
                    .orElseThrow(() -> new InvalidSetting("BLOCKED_DOMAINS", "holds what is no domain: \"" + domain + "\"",
                            "Write domains as example.com, separated by commas; subdomains are included without a wildcard.")));
        }
        return new BlockedDomains(Set.copyOf(domains));
    }

    /** The blocked domain that {@code host} (in canonical form) is or belongs to. */
    public Optional<String> blocking(String host) {
        for (String domain = host; ; ) {
            if (domains.contains(domain)) {
                return Optional.of(domain);
            }
            int dot = domain.indexOf('.');
            if (dot < 0) {
                return Optional.empty();
            }
            domain = domain.substring(dot + 1);
        }
    }
}
