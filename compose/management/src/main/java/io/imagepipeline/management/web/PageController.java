package io.imagepipeline.management.web;

import io.imagepipeline.management.task.TaskUrl;
import io.imagepipeline.management.task.TaskView;
import io.imagepipeline.management.task.Tasks;
import java.security.Principal;
import java.util.List;
import org.springframework.stereotype.Controller;
import org.springframework.ui.Model;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RequestParam;

/** The page: a form, and one's tasks. The server draws it whole; its script keeps it up to date. */
@Controller
class PageController {
    private static final int SHOWN = 50;

    private final Tasks tasks;

    PageController(Tasks tasks) {
        this.tasks = tasks;
    }

    @GetMapping("/")
    String page(@RequestParam(defaultValue = "" + Long.MAX_VALUE) long before, Principal user, Model model) {
        List<TaskView> shown = tasks.list(user.getName(), before, SHOWN).stream().map(TaskView::of).toList();
        model.addAttribute("user", user.getName());
        model.addAttribute("tasks", shown);
        model.addAttribute("urlLengthMax", TaskUrl.LENGTH_MAX);
        model.addAttribute("newest", before == Long.MAX_VALUE);
        model.addAttribute("before", before);
        model.addAttribute("limit", SHOWN);
        model.addAttribute("older", shown.size() < SHOWN ? null : shown.get(shown.size() - 1).id());
        return "page";
    }
}
