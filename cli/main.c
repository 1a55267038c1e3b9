/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The program: finds the command, hands it its arguments, says what went wrong, and ends with a documented status.
 */
#include "base/suggest.h"
#include "cli/command.h"
#include "cli/output.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { STATUS_FAILED = 1, STATUS_USAGE = 2, STATUS_SIGNAL = 128 };

static int cli_help(const struct args *args);

static int cli_version(const struct args *args)
{
    (void)args;
    return cli_printf("pagereel %s\n%s\n", pr_version(), pr_build_info());
}

const struct command cli_commands[] = {
    {"ask", "ask", "[FILE...] QUESTION", 1, 1000, "answer a question from films and documents, and say where it stands",
     "Adds to the library what isn't in it yet (see pagereel add), finds the passages of the files' text that share "
     "words with the question, and lets the model answer from them. Behind the answer stand the passages that it "
     "names, each with its page or time and a quote that is copied from the file, and what was searched and what was "
     "not. When nothing fits, or nothing supports what the model says, it says: Not found. Without FILE the whole library is "
     "asked.\n\n"
     "--from and --to keep to a part of films, --pages to pages of documents. A file that is gone by now, or that "
     "another pagereel is still adding, is asked as far as it was read.\n\n"
     "A model with a vision part (mmproj) is also shown what was kept of pictures. --budget bounds the prompt.\n\n"
     "With --json it prints one object: answer, the model's words; found, whether anything that was shown supports them, and "
     "why if not; citations, each with tag (S1, ...), named_by_answer, shares_words (of those that it doesn't name, the one that it shares "
     "most words with), overview (part of the overview), source, page and label or t0 and t1 (seconds) and box (from the upper left "
     "corner, points of a page or pixels of a film), as narrow as the evidence tells: the quoted line, or the tokens that have most to do with the "
     "question; shown_t0, shown_t1, shown_box (what the model was shown there), note (what pagereel read wrote, not quoted), look (with --look: visual_tokens, and t of a film) and quote (copied from the file); notes, what should be known of the files; coverage, how many sources, pages and "
     "films there are, how many of them have no text or weren't read to their end, how many passages were found (at most 1000 are "
     "counted) and read, whether the model sees, how pictures were looked at (density), how many segments of pictures there are and were shown, with how many visual_tokens, "
     "damaged places of the library, the tokens of the prompt, and how many of those an earlier question of the conversation had read "
     "(prompt_reused); ms, milliseconds for adding, recall, choosing, looking, prompt, prefill, decode and citing, and the processor time of all but "
     "looking, prefill and decode. With --verbose also prompt, the user message as the model got it.",
     "pagereel ask -m model.gguf paper.pdf \"Which method do the authors propose?\"\n"
     "pagereel ask -m model.gguf --json manual.pdf \"How is the pump started?\"\n"
     "pagereel ask -m model.gguf --from 40m lecture.mkv notes.pdf \"What is a monad?\"",
     cli_ask},
    {"chat", "chat", "[FILE...]", 0, 1000, "ask one question after the other",
     "Reads questions from standard input, one a line, and answers each from the files (or the whole library) as pagereel ask does. The model is "
     "loaded once, what prompts begin with alike is read once, and a question may refer to the one before. Each question gets "
     "its own excerpts; earlier questions and answers stay in the prompt as far as a quarter of --budget goes, the latest first, so that a "
     "conversation can go on for ever. It ends with the input.\n\n"
     "With --json it prints one object a line for each answer, as pagereel ask has it.",
     "pagereel chat -m model.gguf manual.pdf\n"
     "printf 'Who wrote it?\\nWhen?\\n' | pagereel chat -m model.gguf --json paper.pdf",
     cli_chat},
    {"read", "read", "FILE", 1, 1, "read a film or a document from beginning to end and take notes",
     "Shows the model the whole of FILE in order, two minutes of a film or a page of a document at a time, and prints the note that it writes on each. The "
     "model keeps the first message and the last --window tokens in mind, so that memory doesn't grow with the length. Notes are "
     "kept with the source, marked as the model's own words: later questions may find them, but they are never quoted. After Ctrl-C "
     "the next read goes on behind the last note. --from, --to and --pages read a part. With --summary the notes are then condensed.\n\n"
     "With --json it prints an object for each note: page, or t0 and t1 (seconds); fresh, whether it was written just now; note; and at the end "
     "one with summary.",
     "pagereel read -m model.gguf --summary lecture.mkv\npagereel read -m model.gguf --pages 10-20 book.pdf", cli_read},
    {"add", "add", "FILE...", 1, 10000, "read films and documents into the library",
     "Reads each file (or folder of pictures) once and keeps its text, each line with its page and box or its time: "
     "pages of documents, subtitles and chapters of films. A file is known again by its content, also under another "
     "name. After Ctrl-C or a power failure, the next add goes on from there.\n\n"
     "With a model that sees (--model with its mmproj file beside it, or --mmproj alone) it also looks at frames, "
     "pages and pictures, and keeps what the model sees as visual tokens: of a film a share (--keep), of pages and "
     "pictures all but blank places. Then questions about pictures need no second look. Tokens that one model made "
     "are of no use to another; those of several are kept beside each other.\n\n"
     "With --json it prints an object for each file: those of pagereel list --json; encoded, how many pictures, tiles "
     "or frames (pairs of them) the vision encoder was run on; device_bytes, the most that it took of its device; and "
     "fresh, whether something was read.",
     "pagereel add lecture.mkv notes.pdf\n"
     "pagereel add -m model.gguf --mmproj mmproj.gguf lecture.mkv\n"
     "pagereel add --disk 20G films/*.mkv",
     cli_add},
    {"list", "list", "", 0, 0, "list what is in the library",
     "Prints each source with the beginning of its id, where the file was last seen, its kind, length and size on the "
     "disk, and what is wrong with it: files that are gone or have changed, sources that weren't read to their "
     "end, damage as far as the headers of its log show it (show and add read all of it).\n\n"
     "With --json it prints a line for each: id, path, file (here, changed, gone), kind, title, complete, added "
     "(seconds since 1970), duration (seconds or null), pages, pages_failed, pages_without_text, segments, bytes, "
     "damaged, seen (its pictures were looked at to the end), model (by which, and what was kept), tokens (visual "
     "ones).",
     "pagereel list", cli_list},
    {"show", "show", "SOURCE", 1, 1, "show what the library holds of a source",
     "Prints the segments that were kept of a source, named by its path or the beginning of its id, on their timeline: "
     "page or time, number of lines, the first one; or how many visual tokens are kept of how many, and of how many "
     "frames. All of it is checked for damage. --sheet draws it.\n\n"
     "With --json it prints a line for each segment (segment, page and label or t0 and t1, stream, lines, tokens, raw: "
     "tokens before compression, frames, visual_only, text), and then one for the source, as pagereel list does, with "
     "lines, raw and frames.",
     "pagereel show lecture.mkv\npagereel show --sheet kept.png lecture.mkv\npagereel show 3f9a2c", cli_show},
    {"rm", "rm", "SOURCE...", 1, 10000, "forget sources",
     "Deletes what the library holds of the sources, named by path or by the beginning of their ids. The files "
     "themselves stay.",
     "pagereel rm lecture.mkv", cli_rm},
    {"plan", "plan", "FILE", 1, 1, "tell what adding a file would take",
     "Opens the file, reads a little of it, and tells its length, how much of the disk it would take in the library "
     "and how long it would take. With a model that sees it looks at some short parts of it, for seconds, on the device "
     "that adding would use, and tells how many frames or pages would be encoded, and how many visual tokens kept. "
     "Nothing of it is kept. Memory is that of the largest process: while the file is added, and, with a model that "
     "answers, while a question with a full prompt is. The first question, which adds, takes both at the most.\n\n"
     "With --json it prints one object: source, kind, duration, units (pages, or text tracks of a film), encoded "
     "(runs of the vision encoder), tokens (visual ones), bytes, memory (bytes at the most, to add), ask_memory (to "
     "ask), device_memory (of a GPU), seconds.",
     "pagereel plan manual.pdf\npagereel plan -m model.gguf --mmproj mmproj.gguf lecture.mkv", cli_plan},
    {"run", "run", "", 0, 0, "let a model continue a prompt or answer a message",
     "Reads a prompt (--prompt, or standard input), and prints what the model answers, token by token. The prompt "
     "is a message in the model's chat format; with --raw it is given as it is. Of a message that comes from "
     "standard input, line breaks at the end are left out.\n\n"
     "With --image, --video and --pdf a model that sees looks at files: where the prompt says <image>, <video> and <pdf>, in the "
     "order in which they are given, or else before the text. A file named - is what comes on standard input, and the prompt is in --prompt then. The vision part "
     "(mmproj) is found when it lies beside the model.\n\n"
     "With --json it prints one object when the answer is complete: prompt_tokens, the ids that the model read, with "
     "{image_tokens, grid: [rows, columns]} for each run of visual tokens (frames, if it has several; partial, if its file is damaged or breaks off); "
     "tokens, each with id, text and top, the --logprobs most probable tokens of that step; stop, why it ended "
     "(end, string, length, context). Text of a token that ends within a character comes with a later token.",
     "pagereel run -m model.gguf -p \"Why is the sky blue?\"\n"
     "pagereel run -m model.gguf -i a.png -p \"What does <image> show?\"\n"
     "pagereel run -m model.gguf --raw -n 20 --json --logprobs 5 < prompt.txt",
     cli_run},
    {"tokenize", "tokenize", "[TEXT]", 0, 1, "show the tokens of a text",
     "Prints the id and the text of each token of TEXT or, without it, of standard input. Only the tokenizer of "
     "the model file is read.",
     "pagereel tokenize -m model.gguf \"Hello world\"", cli_tokenize},
    {"inspect", "inspect", "FILE...", 1, 10000, "tell what a film or a document holds",
     "Reads videos, sound, pictures, PDFs, folders and archives of pictures, Markdown and plain text, and tells "
     "what they are: streams, length, text tracks inside and beside the file, chapters or outline, pages, and what "
     "is wrong with them. A file name of - reads a video from standard input. Only their beginning is read, up to the first "
     "picture or page; with --read all of it, which tells what is damaged on the way.\n\n"
     "With --units it prints a line of JSON for the file and one for every unit: a frame (t0 and t1 in seconds, "
     "difference from the last frame that passed the change gate, whether it passed, whether a scene begins), a "
     "page (lines with their boxes in points from the upper left corner, figures, links, form fields, notes), a "
     "piece of timed text, or a second of sound.",
     "pagereel inspect film.mkv\n"
     "pagereel inspect --read film.mkv\n"
     "pagereel inspect --units --pages 3-4 paper.pdf\n"
     "pagereel inspect --units --frames 32 film.mp4",
     cli_inspect},
    {"sheet", "sheet", "FILE", 1, 1, "draw a contact sheet of a film or a document",
     "Writes a PNG with frames and their times, or pages and their numbers, spread over the whole.",
     "pagereel sheet film.mkv -o sheet.png\npagereel sheet --frames 48 --from 10m --to 20m film.mkv -o part.png",
     cli_sheet},
    {"frame", "frame", "FILE", 1, 1, "cut out a frame, a page, or a part of one",
     "Writes the frame that is on the screen at a time, or a page, as PNG; with --box only a part of it, and with "
     "--pixels larger or smaller.",
     "pagereel frame film.mkv --at 0:41:10.5 -o frame.png\n"
     "pagereel frame a.pdf --page 7 --box 72,100,300,250 --pixels 4000000 -o b.png",
     cli_frame},
    {"embed", "embed", "FILE", 1, 1, "write what a model sees of a picture, a video or a document",
     "Encodes FILE with the vision part of a model (--mmproj) alone and writes its visual tokens, the rows that a language model "
     "reads, as a NumPy array of 32-bit floats [tokens, width]. Without --mmproj it is the one that lies beside --model. "
     "A FILE of - is standard input. With --verbose it says beforehand how much memory that takes at the most.\n\n"
     "With --json it prints one object: family; tokens and width; tiles, the rows and columns that a picture was cut into; runs, "
     "each with its first row, image_tokens, grid [rows, columns], frames, and partial if the file is damaged or breaks off; positions [time, row, column] of each token in its "
     "run, or null where they follow each other as text does.",
     "pagereel embed --mmproj mmproj.gguf photo.jpg -o photo.npy", cli_embed},
    {"devices", "devices", "", 0, 0, "list what can compute",
     "Lists the devices in order of preference: the first is what --device auto takes. Under each stands what the "
     "hardware and its driver may offer, and whether pagereel uses it or why not.",
     "pagereel devices", cli_devices},
    {"bench llm", "bench-llm", "", 0, 0, "measure how fast a model reads and writes",
     "Reads 256 tokens in one go and then writes 32, one by one, several times, and gives the medians, with their "
     "share of the memory bandwidth and of the arithmetic that the same device reached in the same run.",
     "pagereel bench llm -m model.gguf --device cpu", cli_bench_llm},
    {"bench ppl", "bench-ppl", "", 0, 0, "measure how well a model predicts a text",
     "Reads a text (--text, or standard input) and gives the perplexity: the exponential of the mean negative "
     "logarithm of the probability of each next token. With --window the cache slides, and memory stays the same "
     "for any length.",
     "pagereel bench ppl -m model.gguf --text book.txt --window 1024 --sinks 4", cli_bench_ppl},
    {"bench vision", "bench-vision", "", 0, 0, "measure how fast pictures are encoded",
     "Prepares and encodes a picture (--side) several times with the vision part of a model, and gives the medians.",
     "pagereel bench vision --mmproj mmproj.gguf --device cpu", cli_bench_vision},
    {"bench needle", "bench-needle", "", 0, 0, "measure what is found again in long films and documents",
     "Makes films and documents of several lengths (--lengths), hides things in them at depths from the beginning to the end (a word on a "
     "sign beside a thing of a colour that is shown once; a number in a sentence or in a drawn chart), adds them to a library of their own "
     "and asks for each. Answers are compared word by word. Every question is also asked of frames or pages spread evenly over "
     "the whole and of the last ones, in a prompt of the same size, and with the right frame or page handed over: what memory "
     "reaches of that is the share.\n\n"
     "With --haystack the needles stand among the frames of a film or the pages of a document of your own.\n\n"
     "It works with any model; one without a vision part is asked for sentences of documents alone. --keep and --budget say how much "
     "is kept and shown; without --quick a film of up to an hour is also measured at other shares and budgets. The folder --output (by default "
     "pagereel-needle) gets every answer (results.jsonl), figures (needle.json) and heat maps (films.svg, documents.svg, kept.svg). "
     "After Ctrl-C the same command goes on from there.\n\n"
     "With --json it prints a list of objects, one for each length, share and budget: medium, seconds or pages, keep, budget, and for each way "
     "(memory, uniform, last, given) asked, right, right_and_cited (they name an excerpt that has the needle), tokens (of a prompt, mean) "
     "and answer_s (seconds of an answer, mean).",
     "pagereel bench needle --quick -m model.gguf\n"
     "pagereel bench needle -m model.gguf --lengths 1m,1h,4h,1000p --keep 0.1 -o needle-10",
     cli_bench_needle},
    {"bench time", "bench-time", "", 0, 0, "measure how well times of films are told",
     "As pagereel bench needle, of films: asks when a sign is shown. An answer is right when it says a time at which it is on the "
     "screen, or at most one sampling step (1 / --fps seconds) beside; of the right ones it is counted how many say its beginning to one "
     "step. Files: results.jsonl, time.json, time.svg in --output (by default pagereel-time).\n\n"
     "With --json it prints the same list as pagereel bench needle, with right_within_a_step.",
     "pagereel bench time --quick -m model.gguf", cli_bench_time},
    {"help", "help", "[COMMAND]", 0, 2, "explain a command", "Prints the overview, or the help of a command.",
     "pagereel help run", cli_help},
    {"version", "version", "", 0, 0, "print the version and what it was built with",
     "Prints the version, the compiler and the libraries.", "pagereel --version", cli_version},
    {0},
};

/* The command that the words begin with; *used words name it. NULL: none. */
static const struct command *find_command(int n, const char *const *words, int *used)
{
    for (const struct command *command = cli_commands; command->name; command++) {
        char name[128];
        *used = strchr(command->name, ' ') ? 2 : 1;
        if (n < *used)
            continue;
        snprintf(name, sizeof name, "%s%s%s", words[0], *used > 1 ? " " : "", *used > 1 ? words[1] : "");
        if (!strcmp(command->name, name))
            return command;
    }
    return NULL;
}

static int unknown_command(int n, const char *const *words)
{
    char name[128];
    const struct command *nearest = NULL;
    snprintf(name, sizeof name, "%s%s%s", words[0], n > 1 ? " " : "", n > 1 ? words[1] : "");
    for (const struct command *command = cli_commands; command->name; command++) {
        size_t group = strcspn(command->name, " ");
        bool in_group = command->name[group] && strlen(words[0]) == group && !strncmp(command->name, words[0], group);
        if (in_group || base_is_near(words[0], command->name) || base_is_near(name, command->name))
            nearest = nearest ? nearest : command;
    }
    if (nearest)
        return base_fail(PR_ERR_INVALID, "there is no command '%.60s'; did you mean '%s'?",
                         strchr(nearest->name, ' ') ? name : words[0], nearest->name);
    return base_fail(PR_ERR_INVALID, "there is no command '%.60s'; see pagereel --help", words[0]);
}

static int cli_help(const struct args *args)
{
    int used;
    if (args->n_words == 0) {
        cli_help_overview();
        return PR_OK;
    }
    const struct command *command = find_command(args->n_words, args->words, &used);
    if (!command || used != args->n_words)
        return unknown_command(args->n_words, args->words);
    cli_help_command(command);
    return PR_OK;
}

/* For the build, which makes the man pages of it: `pagereel --man [COMMAND]`. */
static int print_man(int n, const char *const *words)
{
    int used;
    const struct command *command = n > 0 ? find_command(n, words, &used) : NULL;
    if (n > 0 && !command)
        return unknown_command(n, words);
    cli_help_man(command);
    return PR_OK;
}

static int run_command(int argc, char **argv)
{
    struct args args;
    bool help;
    int used, err;
    const struct command *command = find_command(argc - 1, (const char *const *)argv + 1, &used);
    if (!command)
        return unknown_command(argc - 1, (const char *const *)argv + 1);
    err = cli_args_parse(command, argc - 1 - used, argv + 1 + used, &args, &help);
    if (err < 0)
        return err;
    if (help)
        cli_help_command(command);
    else
        err = command->run(&args);
    cli_args_finish(&args);
    return err;
}

static int run(int argc, char **argv)
{
    if (argc < 2)
        return base_fail(PR_ERR_INVALID, "no command; see pagereel --help");
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        cli_help_overview();
        return PR_OK;
    }
    if (!strcmp(argv[1], "--version"))
        return cli_version(NULL);
    if (!strcmp(argv[1], "--man"))
        return print_man(argc - 2, (const char *const *)argv + 2);
    return run_command(argc, argv);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_DFL); /* a reader that has enough ends us quietly */
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error like a full disk */
    int err = run(argc, argv);
    if (err >= 0)
        err = cli_flush();
    if (err >= 0)
        return 0;
    if (cli_interrupted()) {
        fputs("pagereel: interrupted\n", stderr);
        return STATUS_SIGNAL + cli_interrupted();
    }
    fprintf(stderr, "pagereel: %s\n", pr_error_message());
    return err == PR_ERR_INVALID ? STATUS_USAGE : STATUS_FAILED;
}
