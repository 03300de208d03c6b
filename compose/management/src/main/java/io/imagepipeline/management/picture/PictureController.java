package io.imagepipeline.management.picture;

import io.imagepipeline.management.task.Task;
import io.imagepipeline.management.task.TaskState;
import io.imagepipeline.management.task.Tasks;
import io.imagepipeline.management.web.Refusal;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.security.Principal;
import java.time.Duration;
import java.util.Map;
import java.util.Objects;
import org.springframework.http.CacheControl;
import org.springframework.http.ContentDisposition;
import org.springframework.http.HttpHeaders;
import org.springframework.http.HttpStatus;
import org.springframework.http.MediaType;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.RequestMapping;
import org.springframework.web.bind.annotation.RestController;
import software.amazon.awssdk.core.ResponseInputStream;
import software.amazon.awssdk.services.s3.model.GetObjectResponse;

/**
 * One's own pictures, streamed from the store. They are strangers' bytes under our name: only image types are shown, nothing
 * in them may run, and what isn't known to be an image is a download.
 */
@RestController
@RequestMapping("/api/v1/tasks/{id}")
class PictureController {
    private static final Map<String, String> EXTENSIONS =
            Map.of("image/jpeg", "jpg", "image/png", "png", "image/gif", "gif", "image/webp", "webp");
    // The object under a key never changes, and another user of the same browser must not be shown it from the cache.
    private static final String CACHE = CacheControl.maxAge(Duration.ofDays(1)).cachePrivate().immutable().getHeaderValue();

    private final Tasks tasks;
    private final PictureStore store;

    PictureController(Tasks tasks, PictureStore store) {
        this.tasks = tasks;
        this.store = store;
    }

    @GetMapping("/thumbnail")
    void thumbnail(@PathVariable long id, Principal user, HttpServletResponse response) throws IOException {
        stream(stored(user, id).thumbnailKey(), "thumbnail-" + id, response);
    }

    @GetMapping("/original")
    void original(@PathVariable long id, Principal user, HttpServletResponse response) throws IOException {
        stream(stored(user, id).originalKey(), "picture-" + id, response);
    }

    private Task stored(Principal user, long id) {
        Task task = tasks.find(user.getName(), id).orElseThrow(() -> Refusal.noSuchTask(id));
        if (task.state() != TaskState.OK) {
            throw new Refusal(HttpStatus.NOT_FOUND, "no_picture",
                    "Task " + id + " has no picture: its state is " + task.state().word() + ".");
        }
        return task;
    }

    private void stream(String key, String name, HttpServletResponse response) throws IOException {
        try (ResponseInputStream<GetObjectResponse> object = store.open(key)) {
            String type = Objects.requireNonNullElse(object.response().contentType(), MediaType.APPLICATION_OCTET_STREAM_VALUE);
            String extension = EXTENSIONS.get(type);
            boolean image = extension != null;
            response.setContentType(image ? type : MediaType.APPLICATION_OCTET_STREAM_VALUE);
            Long length = object.response().contentLength();
            if (length != null) {
                response.setContentLengthLong(length);
            }
            response.setHeader(HttpHeaders.CONTENT_DISPOSITION, (image ? ContentDisposition.inline() : ContentDisposition.attachment())
                    .filename(image ? name + "." + extension : name).build().toString());
            response.setHeader("Content-Security-Policy", "default-src 'none'; sandbox");
            response.setHeader(HttpHeaders.CACHE_CONTROL, CACHE);
            response.setHeader(HttpHeaders.VARY, HttpHeaders.AUTHORIZATION);
            try {
                long sent = object.transferTo(response.getOutputStream());
                if (length != null && sent != length) { // the JDK's connection calls a break in the middle an end
                    throw new IOException("the store broke off after " + sent + " of " + length + " bytes");
                }
            } catch (IOException interrupted) {
                object.abort(); // or closing would read the rest of a picture that nobody waits for
                throw interrupted;
            }
        }
    }
}
