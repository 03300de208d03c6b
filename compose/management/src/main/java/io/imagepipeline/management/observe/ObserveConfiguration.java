package io.imagepipeline.management.observe;

import io.micrometer.observation.ObservationPredicate;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.http.server.observation.OpenTelemetryServerRequestObservationConvention;
import org.springframework.http.server.observation.ServerRequestObservationContext;
import org.springframework.kafka.support.ProducerListener;

@Configuration(proxyBeanMethods = false)
class ObserveConfiguration {
    /** Spans as OpenTelemetry names them: {@code POST /api/v1/tasks}. */
    @Bean
    OpenTelemetryServerRequestObservationConvention serverRequestConvention() {
        return new OpenTelemetryServerRequestObservationConvention();
    }

    /** Probes and scrapes are no part of any picture's story. */
    @Bean
    ObservationPredicate withoutProbes() {
        return (name, context) -> !(context instanceof ServerRequestObservationContext request
                && request.getCarrier() != null
                && request.getCarrier().getRequestURI().startsWith("/actuator"));
    }

    /** The relay handles every failed send itself; the default listener would log each, payload included. */
    @Bean
    ProducerListener<Object, Object> producerListener() {
        return new ProducerListener<>() {};
    }
}
