package io.imagepipeline.management.picture;

import io.imagepipeline.management.observe.Names;
import io.imagepipeline.management.settings.Settings;
import io.imagepipeline.management.web.Refusal;
import io.micrometer.core.instrument.MeterRegistry;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.http.HttpStatus;
import org.springframework.stereotype.Component;
import software.amazon.awssdk.awscore.exception.AwsServiceException;
import software.amazon.awssdk.core.ResponseInputStream;
import software.amazon.awssdk.core.exception.SdkClientException;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.model.GetObjectResponse;
import software.amazon.awssdk.services.s3.model.NoSuchKeyException;

/** Reads stored pictures. Nothing is held in memory: the caller gets the stream. */
@Component
class PictureStore {
    private static final Logger log = LoggerFactory.getLogger(PictureStore.class);

    private final S3Client s3;
    private final String bucket;
    private final MeterRegistry metrics;

    PictureStore(S3Client s3, Settings settings, MeterRegistry metrics) {
        this.s3 = s3;
        this.bucket = settings.s3().bucket();
        this.metrics = metrics;
    }

    /** @throws Refusal 404 without the object, 502 when the store refuses us, 503 when it can't be reached */
    ResponseInputStream<GetObjectResponse> open(String key) {
        try {
            ResponseInputStream<GetObjectResponse> object = s3.getObject(get -> get.bucket(bucket).key(key));
            count("served");
            return object;
        } catch (NoSuchKeyException gone) {
            count("missing");
            log.warn("the store has no object {} in bucket {}", key, bucket);
            throw new Refusal(HttpStatus.NOT_FOUND, "object_missing", "The picture is no longer in the store.");
        } catch (AwsServiceException refused) {
            count("refused");
            log.error("the store refused object {} of bucket {}: {}", key, bucket, refused.getMessage());
            throw new Refusal(HttpStatus.BAD_GATEWAY, "store_failed", "The store of the pictures answered with an error. Try again later.");
        } catch (SdkClientException unreachable) {
            count("unreachable");
            log.error("the store can't be reached: {}", unreachable.getMessage());
            throw new Refusal(HttpStatus.SERVICE_UNAVAILABLE, "store_unreachable", "The store of the pictures can't be reached. Try again later.");
        }
    }

    private void count(String result) {
        metrics.counter(Names.PICTURES, "result", result).increment();
    }
}
