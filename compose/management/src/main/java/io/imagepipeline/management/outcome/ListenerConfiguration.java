package io.imagepipeline.management.outcome;

import io.imagepipeline.management.observe.Names;
import io.micrometer.core.instrument.MeterRegistry;
import java.util.Map;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.boot.kafka.autoconfigure.KafkaProperties;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.NestedExceptionUtils;
import org.springframework.kafka.core.KafkaAdmin;
import org.springframework.kafka.listener.DefaultErrorHandler;
import org.springframework.util.backoff.FixedBackOff;

@Configuration(proxyBeanMethods = false)
class ListenerConfiguration {
    private static final Logger log = LoggerFactory.getLogger(ListenerConfiguration.class);

    /**
     * Whatever the listener throws is our own infrastructure's failure, never the record's fault: try for as long as it
     * takes, commit nothing meanwhile.
     */
    @Bean
    DefaultErrorHandler errorHandler(MeterRegistry metrics) {
        DefaultErrorHandler handler = new DefaultErrorHandler(new FixedBackOff(1000, FixedBackOff.UNLIMITED_ATTEMPTS));
        handler.setClassifications(Map.of(), true);
        handler.setRetryListeners((record, failure, attempt) -> {
            metrics.counter(Names.OUTCOMES, "result", "failed").increment();
            log.warn("outcome at {}-{} offset {} can't be stored, attempt {}: {}", record.topic(), record.partition(), record.offset(),
                    attempt, NestedExceptionUtils.getMostSpecificCause(failure).toString());
        });
        return handler;
    }

    /**
     * Observed templates and listeners ask the admin for the cluster's id, which blocks for up to a minute while no broker
     * answers. Nobody needs it here. Topics are made by the downloader's setup.
     */
    @Bean
    KafkaAdmin kafkaAdmin(KafkaProperties properties) {
        KafkaAdmin admin = new KafkaAdmin(properties.buildAdminProperties()) {
            @Override
            public String clusterId() {
                return null;
            }
        };
        admin.setAutoCreate(false);
        return admin;
    }
}
