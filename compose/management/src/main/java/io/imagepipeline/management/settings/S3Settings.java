package io.imagepipeline.management.settings;

import java.net.URI;

/**
 * @param endpoint null: AWS of the region
 * @param access   empty (and so is the secret): AWS's own variables and chain
 */
public record S3Settings(URI endpoint, String region, String bucket, String access, String secret) {
    @Override
    public String toString() {
        return "S3Settings[endpoint=" + endpoint + ", region=" + region + ", bucket=" + bucket + "]";
    }
}
