package io.imagepipeline.management.account;

import io.imagepipeline.management.web.ProblemWriter;
import io.imagepipeline.management.web.Refusal;
import jakarta.servlet.FilterChain;
import jakarta.servlet.ServletException;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.net.URI;
import java.util.Set;
import org.springframework.http.HttpHeaders;
import org.springframework.http.HttpStatus;
import org.springframework.web.filter.OncePerRequestFilter;

/**
 * A browser that has logged in sends the credentials along whichever site's page makes the request. So a request that
 * changes something must not come from another site's page: {@code Sec-Fetch-Site}, which no page can forge, decides, or
 * {@code Origin} where a browser doesn't send it. Programs send neither and pass. (That submissions must be JSON, which a
 * form can't send and a script only after a preflight that nobody answers, is a second wall.)
 */
final class CrossSiteGuard extends OncePerRequestFilter {
    private static final Set<String> READ_ONLY = Set.of("GET", "HEAD", "OPTIONS", "TRACE");
    private static final Set<String> FRIENDLY = Set.of("same-origin", "none");

    private final ProblemWriter problems;

    CrossSiteGuard(ProblemWriter problems) {
        this.problems = problems;
    }

    @Override
    protected void doFilterInternal(HttpServletRequest request, HttpServletResponse response, FilterChain chain)
            throws ServletException, IOException {
        if (READ_ONLY.contains(request.getMethod()) || !fromAnotherSite(request)) {
            chain.doFilter(request, response);
        } else {
            problems.write(response, Refusal.problem(HttpStatus.FORBIDDEN, "cross_site_request",
                    "The request was made by a page of another site."));
        }
    }

    private static boolean fromAnotherSite(HttpServletRequest request) {
        String site = request.getHeader("Sec-Fetch-Site");
        if (site != null) {
            return !FRIENDLY.contains(site);
        }
        String origin = request.getHeader(HttpHeaders.ORIGIN);
        if (origin == null) {
            return false;
        }
        try {
            // The scheme is not compared: a proxy in front may have ended TLS.
            String authority = URI.create(origin).getRawAuthority();
            return authority == null || !authority.equalsIgnoreCase(request.getHeader(HttpHeaders.HOST));
        } catch (IllegalArgumentException unreadable) {
            return true;
        }
    }
}
