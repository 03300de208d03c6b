package io.imagepipeline.management.observe;

import io.micrometer.common.KeyValues;
import org.springframework.kafka.support.micrometer.KafkaListenerObservationConvention;
import org.springframework.kafka.support.micrometer.KafkaRecordReceiverContext;
import org.springframework.stereotype.Component;

/** Names the span {@code process urls_done}, with today's attribute names. */
@Component
class ProcessConvention implements KafkaListenerObservationConvention {
    @Override
    public String getName() {
        return "messaging.process.duration";
    }

    @Override
    public String getContextualName(KafkaRecordReceiverContext context) {
        return Names.PROCESS + " " + context.getSource();
    }

    @Override
    public KeyValues getLowCardinalityKeyValues(KafkaRecordReceiverContext context) {
        return KeyValues.of(
                Names.MESSAGING_SYSTEM, "kafka",
                Names.MESSAGING_DESTINATION, context.getSource(),
                Names.MESSAGING_OPERATION_TYPE, Names.PROCESS,
                Names.MESSAGING_OPERATION_NAME, Names.PROCESS,
                Names.MESSAGING_CONSUMER_GROUP, String.valueOf(context.getGroupId()));
    }

    @Override
    public KeyValues getHighCardinalityKeyValues(KafkaRecordReceiverContext context) {
        return KeyValues.of(
                Names.MESSAGING_PARTITION, context.getPartition(),
                Names.MESSAGING_OFFSET, context.getOffset());
    }
}
