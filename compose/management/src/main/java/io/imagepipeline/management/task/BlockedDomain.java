package io.imagepipeline.management.task;

/** The URL is well formed, but its host belongs to a domain that the operator has blocked. */
public final class BlockedDomain extends RuntimeException {
    public BlockedDomain(String host, String domain) {
        super(host.equals(domain)
                ? "Pictures from " + domain + " are not accepted here."
                : "Pictures from " + domain + " and its subdomains, such as " + host + ", are not accepted here.");
    }
}
