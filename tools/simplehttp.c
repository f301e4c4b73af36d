/* simplehttp: a small static HTTP/1.1 server, made to be the only process of a container.
 *
 *     simplehttp [PORT [FOLDER [ADDRESS]]]
 *
 * PORT: else $PORT, else 8080 (0 takes a free one). FOLDER: else $WEB_ROOT, else /srv/www. ADDRESS: else
 * $BIND_ADDRESS, else 0.0.0.0.
 *
 * GET and HEAD, one request a connection. / is FOLDER/index.html with {{hostname}} and {{architecture}} filled in,
 * /health answers "ok", anything else is a regular file below FOLDER. Each client has a process of its own, with
 * a limit on its request and on its time; SIGTERM ends the server at once.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE "amd64"
#elif defined(__aarch64__)
#define ARCHITECTURE "arm64"
#else
#error "simplehttp is built for x86_64 and aarch64"
#endif

enum { MAX_CLIENTS = 64, MAX_HEAD = 8192, MAX_PAGE = 65536, REQUEST_SECONDS = 10, ANSWER_SECONDS = 60, CLOSING_SECONDS = 2 };

typedef struct {
    int client;
    bool head_only;
    char line[160]; /* method and path, cut to this length, for the log; "-" until they are known to be sound */
} Request;

static _Noreturn void fail(const char *what, const char *why) {
    fprintf(stderr, "simplehttp: %s%s\n", what, why);
    exit(1);
}

/* PID 1 has no default action for SIGTERM: without a handler, `docker stop` would wait ten seconds and then kill. */
static void stop(int signal) {
    (void)signal;
    _exit(0);
}

static void on_signal(int signal, void (*action)(int)) {
    struct sigaction setting = {.sa_handler = action, .sa_flags = SA_RESTART};
    sigaction(signal, &setting, NULL);
}

static bool send_all(int client, const char *data, size_t size) {
    while (size > 0) {
        ssize_t sent = write(client, data, size);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) return false;
        data += sent;
        size -= (size_t)sent;
    }
    return true;
}

static bool send_head(const Request *request, const char *status, const char *type, long long size) {
    char head[512], date[40];
    time_t now = time(NULL);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime(&now));
    int length = snprintf(head, sizeof head,
                          "HTTP/1.1 %s\r\nServer: simplehttp\r\nDate: %s\r\nContent-Type: %s\r\nContent-Length: %lld\r\n"
                          "X-Content-Type-Options: nosniff\r\n%sConnection: close\r\n\r\n",
                          status, date, type, size, strncmp(status, "405", 3) == 0 ? "Allow: GET, HEAD\r\n" : "");
    printf("%.3s %lld %s\n", status, size, request->line);
    fflush(stdout);
    return send_all(request->client, head, (size_t)length);
}

static void answer(const Request *request, const char *status, const char *type, const char *body, size_t size) {
    if (send_head(request, status, type, (long long)size) && !request->head_only) send_all(request->client, body, size);
}

static void refuse(const Request *request, const char *status) {
    char body[64];
    int size = snprintf(body, sizeof body, "%s\n", status);
    answer(request, status, "text/plain; charset=utf-8", body, (size_t)size);
}

static const char *content_type(const char *path) {
    static const char *const types[][2] = {
        {".html", "text/html; charset=utf-8"}, {".css", "text/css; charset=utf-8"}, {".txt", "text/plain; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"}, {".json", "application/json"}, {".svg", "image/svg+xml"},
        {".png", "image/png"}, {".jpg", "image/jpeg"}, {".ico", "image/x-icon"}, {".wasm", "application/wasm"},
    };
    const char *extension = strrchr(path, '.');
    for (size_t i = 0; extension && i < sizeof types / sizeof *types; i++)
        if (strcasecmp(extension, types[i][0]) == 0) return types[i][1];
    return "application/octet-stream";
}

/* Decodes %XX in place; false for a bad escape or a control character (so also for a NUL byte). */
static bool decode(char *path) {
    char *to = path;
    for (const char *from = path; *from; from++) {
        char value = *from;
        if (value == '%') {
            if (strspn(from + 1, "0123456789abcdefABCDEF") < 2) return false;
            value = (char)strtol((const char[]){from[1], from[2], 0}, NULL, 16);
            from += 2;
        }
        if ((unsigned char)value < ' ' || value == 127) return false;
        *to++ = value;
    }
    *to = 0;
    return true;
}

/* Opens a file below the folder, one path segment after the other. No segment may be ".." or a symbolic link, so
 * that no spelling of a path leads out of the folder. -1 where there is no such regular file. */
static int open_below(const char *folder, char *path, struct stat *facts) {
    int at = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char *rest = path;
    for (char *segment; at >= 0 && (segment = strsep(&rest, "/"));) {
        if (*segment == 0 && rest) continue;
        int next = -1;
        if (*segment && strcmp(segment, "..") != 0)
            next = openat(at, segment, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | (rest ? O_DIRECTORY : 0));
        close(at);
        at = next;
    }
    if (at >= 0 && (fstat(at, facts) != 0 || !S_ISREG(facts->st_mode))) {
        close(at);
        return -1;
    }
    return at;
}

static void send_file(const Request *request, const char *folder, char *path) {
    const char *type = content_type(path);
    struct stat facts;
    int file = open_below(folder, path, &facts);
    if (file < 0) {
        refuse(request, "404 Not Found");
        return;
    }
    if (send_head(request, "200 OK", type, facts.st_size) && !request->head_only)
        for (off_t sent = 0; sent < facts.st_size;)
            if (sendfile(request->client, file, &sent, (size_t)(facts.st_size - sent)) <= 0 && errno != EINTR) break;
    close(file);
}

static void send_page(const Request *request, const char *folder) {
    static char page[MAX_PAGE + 1], filled[MAX_PAGE + 256];
    char path[] = "index.html", host[256] = "";
    struct stat facts;
    int file = open_below(folder, path, &facts);
    ssize_t size = file < 0 ? -1 : read(file, page, MAX_PAGE);
    if (size < 0) {
        refuse(request, "404 Not Found");
        return;
    }
    gethostname(host, sizeof host - 1);
    for (char *c = host; *c; c++)
        if (strchr("<>&\"'", *c)) *c = '?'; /* the container's owner chose the name; keep it out of the markup */
    const char *const values[][2] = {{"{{hostname}}", host}, {"{{architecture}}", ARCHITECTURE}};
    size_t length = 0;
    for (const char *from = page; *from && length < MAX_PAGE;) {
        const char *text = NULL;
        for (size_t i = 0; !text && i < 2; i++)
            if (strncmp(from, values[i][0], strlen(values[i][0])) == 0) {
                text = values[i][1];
                from += strlen(values[i][0]);
            }
        if (text)
            length = (size_t)(stpcpy(filled + length, text) - filled);
        else
            filled[length++] = *from++;
    }
    answer(request, "200 OK", "text/html; charset=utf-8", filled, length);
}

/* head: a whole request head, up to and with its empty line. */
static void respond(Request *request, const char *folder, char *head) {
    char *end = strstr(head, "\r\n");
    bool has_host = strcasestr(end, "\r\nHost:");
    *end = 0;
    char *rest = head, *method = strsep(&rest, " "), *target = strsep(&rest, " ");
    const char *version = rest ? rest : "";
    if (strcmp(version, "HTTP/1.0") != 0 && (strcmp(version, "HTTP/1.1") != 0 || !has_host)) {
        refuse(request, "400 Bad Request");
        return;
    }
    target[strcspn(target, "?#")] = 0;
    if (*target != '/' || !decode(target) || !*method || method[strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")]) {
        refuse(request, "400 Bad Request");
        return;
    }
    snprintf(request->line, sizeof request->line, "%s %s", method, target);
    request->head_only = strcmp(method, "HEAD") == 0;
    if (!request->head_only && strcmp(method, "GET") != 0)
        refuse(request, "405 Method Not Allowed");
    else if (strcmp(target, "/health") == 0)
        answer(request, "200 OK", "text/plain; charset=utf-8", "ok\n", 3);
    else if (strcmp(target, "/") == 0)
        send_page(request, folder);
    else
        send_file(request, folder, target);
}

/* The whole life of a client's process. Its time is kept by SIGALRM, whose default action ends the process and so
 * closes the connection. */
static void attend(int client, const char *folder) {
    static char head[MAX_HEAD + 1];
    Request request = {.client = client, .line = "-"};
    size_t size = 0;
    alarm(REQUEST_SECONDS);
    while (!memmem(head, size, "\r\n\r\n", 4) && size < MAX_HEAD) {
        ssize_t got = read(client, head + size, MAX_HEAD - size);
        if (got <= 0) break;
        size += (size_t)got;
    }
    alarm(ANSWER_SECONDS);
    const char *end = memmem(head, size, "\r\n\r\n", 4);
    if (!end && size == MAX_HEAD)
        refuse(&request, "431 Request Header Fields Too Large");
    else if (end && !memchr(head, 0, (size_t)(end - head)))
        respond(&request, folder, head);
    else if (size > 0)
        refuse(&request, "400 Bad Request");
    /* Closing with unread input would reset the connection, and the client could lose the answer. */
    alarm(CLOSING_SECONDS);
    shutdown(client, SHUT_WR);
    while (read(client, head, MAX_HEAD) > 0) continue;
}

static int listen_on(const char *address, const char *port) {
    char *end;
    long number = strtol(port, &end, 10);
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons((uint16_t)number)};
    if (*port == 0 || *end || number < 0 || number > 65535) fail(port, " is no port (0 to 65535)");
    if (inet_pton(AF_INET, address, &name.sin_addr) != 1) fail(address, " is no IPv4 address");
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    socklen_t size = sizeof name;
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        bind(listener, (struct sockaddr *)&name, size) != 0 || listen(listener, MAX_CLIENTS) != 0 ||
        getsockname(listener, (struct sockaddr *)&name, &size) != 0)
        fail("cannot listen: ", strerror(errno));
    printf("simplehttp (" ARCHITECTURE ") listens on %s port %d\n", address, ntohs(name.sin_port));
    return listener;
}

static const char *setting(int argc, char **argv, int index, const char *variable, const char *otherwise) {
    const char *value = index < argc ? argv[index] : getenv(variable);
    return value ? value : otherwise;
}

int main(int argc, char **argv) {
    setlinebuf(stdout);
    on_signal(SIGTERM, stop);
    on_signal(SIGINT, stop);
    on_signal(SIGPIPE, SIG_IGN);
    const char *folder = setting(argc, argv, 2, "WEB_ROOT", "/srv/www");
    int listener = listen_on(setting(argc, argv, 3, "BIND_ADDRESS", "0.0.0.0"), setting(argc, argv, 1, "PORT", "8080"));
    for (int clients = 0;;) {
        int client = accept(listener, NULL, NULL);
        while (clients > 0 && waitpid(-1, NULL, clients < MAX_CLIENTS ? WNOHANG : 0) > 0) clients--;
        pid_t child = client < 0 ? -1 : fork();
        if (child == 0) {
            close(listener);
            attend(client, folder);
            _exit(0);
        }
        if (child > 0)
            clients++;
        else
            usleep(10000); /* no descriptor or process to be had just now: do not spin */
        if (client >= 0) close(client);
    }
}
