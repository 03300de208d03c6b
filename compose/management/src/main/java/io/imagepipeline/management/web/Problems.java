package io.imagepipeline.management.web;

import io.imagepipeline.management.task.BlockedDomain;
import io.imagepipeline.management.task.RefusedUrl;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.dao.DataAccessException;
import org.springframework.http.HttpStatus;
import org.springframework.http.ProblemDetail;
import org.springframework.http.ResponseEntity;
import org.springframework.web.bind.annotation.ExceptionHandler;
import org.springframework.web.bind.annotation.RestControllerAdvice;
import org.springframework.web.servlet.mvc.method.annotation.ResponseEntityExceptionHandler;

/** Exceptions become problem documents (RFC 9457). Spring's own (405, 406, 415, ...) are handled by the parent. */
@RestControllerAdvice
class Problems extends ResponseEntityExceptionHandler {
    private static final Logger log = LoggerFactory.getLogger(Problems.class);

    @ExceptionHandler
    ResponseEntity<ProblemDetail> refused(Refusal refusal) {
        return answer(refusal.problem());
    }

    @ExceptionHandler
    ResponseEntity<ProblemDetail> refused(RefusedUrl refused) {
        return answer(Refusal.problem(HttpStatus.UNPROCESSABLE_CONTENT, refused.code(), refused.getMessage()));
    }

    @ExceptionHandler
    ResponseEntity<ProblemDetail> blocked(BlockedDomain blocked) {
        return answer(Refusal.problem(HttpStatus.FORBIDDEN, "domain_blocked", blocked.getMessage()));
    }

    @ExceptionHandler
    ResponseEntity<ProblemDetail> failed(DataAccessException failure) {
        log.error("the database failed", failure);
        return answer(Refusal.problem(HttpStatus.SERVICE_UNAVAILABLE, "database_failed", "The database failed. Try again later."));
    }

    private static ResponseEntity<ProblemDetail> answer(ProblemDetail problem) {
        return ResponseEntity.status(problem.getStatus()).body(problem);
    }
}
