package io.imagepipeline.management.task;

import com.fasterxml.jackson.annotation.JsonInclude;
import io.imagepipeline.management.web.Refusal;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.security.Principal;
import java.util.List;
import org.springframework.http.CacheControl;
import org.springframework.http.HttpStatus;
import org.springframework.http.MediaType;
import org.springframework.http.ResponseEntity;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;

/** Submit a picture's URL, and see what became of one's own. */
@RestController
@RequestMapping(path = TaskView.PATH, produces = {MediaType.APPLICATION_JSON_VALUE, MediaType.APPLICATION_PROBLEM_JSON_VALUE})
class TaskController {
    static final int PAGE_MAX = 200;

    private final Submission submission;
    private final Tasks tasks;

    TaskController(Submission submission, Tasks tasks) {
        this.submission = submission;
        this.tasks = tasks;
    }

    record Accepted(long id, TaskState state) {}

    /** @param next where the older ones are; absent on the last page */
    @JsonInclude(JsonInclude.Include.NON_NULL)
    record TaskPage(List<TaskView> tasks, String next) {}

    @PostMapping(consumes = MediaType.APPLICATION_JSON_VALUE)
    ResponseEntity<Accepted> submit(InputStream body, Principal user) throws IOException {
        Task task = submission.submit(user.getName(), SubmissionBody.url(body));
        return ResponseEntity.accepted()
                .location(URI.create(TaskView.path(task.id())))
                .body(new Accepted(task.id(), task.state()));
    }

    @GetMapping
    ResponseEntity<TaskPage> list(
            @RequestParam(defaultValue = "50") int limit,
            @RequestParam(defaultValue = "" + Long.MAX_VALUE) long before,
            Principal user) {
        if (limit < 1 || limit > PAGE_MAX) {
            throw new Refusal(HttpStatus.BAD_REQUEST, "limit_out_of_range", "limit must be from 1 to " + PAGE_MAX + ", not " + limit + ".");
        }
        List<Task> page = tasks.list(user.getName(), before, limit);
        String next = page.size() < limit ? null
                : TaskView.PATH + "?limit=" + limit + "&before=" + page.get(page.size() - 1).id();
        return ResponseEntity.ok()
                .cacheControl(CacheControl.noStore())
                .body(new TaskPage(page.stream().map(TaskView::of).toList(), next));
    }

    @GetMapping("/{id}")
    ResponseEntity<TaskView> show(@PathVariable long id, Principal user) {
        return ResponseEntity.ok()
                .cacheControl(CacheControl.noStore())
                .body(TaskView.of(tasks.find(user.getName(), id).orElseThrow(() -> Refusal.noSuchTask(id))));
    }
}
