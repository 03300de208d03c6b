package io.imagepipeline.management.web;

import org.springframework.http.HttpStatus;
import org.springframework.http.ProblemDetail;

/** A request that gets a problem for an answer. The code is for programs, the detail for people. */
public final class Refusal extends RuntimeException {
    private final HttpStatus status;
    private final String code;

    public Refusal(HttpStatus status, String code, String detail) {
        super(detail);
        this.status = status;
        this.code = code;
    }

    public static Refusal noSuchTask(long id) {
        return new Refusal(HttpStatus.NOT_FOUND, "no_such_task", "You have no task " + id + ".");
    }

    HttpStatus status() {
        return status;
    }

    ProblemDetail problem() {
        return problem(status, code, getMessage());
    }

    public static ProblemDetail problem(HttpStatus status, String code, String detail) {
        ProblemDetail problem = ProblemDetail.forStatusAndDetail(status, detail);
        problem.setProperty("code", code);
        return problem;
    }
}
