package io.imagepipeline.management.picture;

import io.imagepipeline.management.settings.S3Settings;
import io.imagepipeline.management.settings.Settings;
import java.time.Duration;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.AwsCredentialsProvider;
import software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.checksums.ResponseChecksumValidation;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.retries.StandardRetryStrategy;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.S3ClientBuilder;

@Configuration(proxyBeanMethods = false)
class StoreConfiguration {
    /** Connects to nothing yet, so a store that is away doesn't delay the start. */
    @Bean
    S3Client s3(Settings settings) {
        S3Settings s3 = settings.s3();
        S3ClientBuilder client = S3Client.builder()
                .region(Region.of(s3.region()))
                .credentialsProvider(credentials(s3))
                .overrideConfiguration(configuration -> configuration.retryStrategy(
                        StandardRetryStrategy.builder().maxAttempts(2).build())) // somebody waits for the answer
                .responseChecksumValidation(ResponseChecksumValidation.WHEN_REQUIRED)
                .httpClientBuilder(UrlConnectionHttpClient.builder()
                        .connectionTimeout(Duration.ofSeconds(2))
                        .socketTimeout(Duration.ofSeconds(10)));
        if (s3.endpoint() != null) {
            client.endpointOverride(s3.endpoint()).forcePathStyle(true);
        }
        return client.build();
    }

    private static AwsCredentialsProvider credentials(S3Settings s3) {
        return s3.access().isEmpty()
                ? DefaultCredentialsProvider.builder().build()
                : StaticCredentialsProvider.create(AwsBasicCredentials.create(s3.access(), s3.secret()));
    }
}
