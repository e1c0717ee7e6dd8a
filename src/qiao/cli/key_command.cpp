#include "qiao/agent/identity.h"
#include "qiao/cli/command.h"
#include "qiao/cli/new_file.h"
#include "qiao/common/async/event_loop.h"
#include "qiao/common/posix_storage.h"
#include "qiao/crypto/certificate.h"
#include "qiao/crypto/import_identity.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <memory>

namespace qiao::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Arguments {
    std::string name, out = ".", ca, suite = "gm", password_file;
    std::vector<std::string> hosts, files;
    bool json = false;
};

struct NewFile {
    std::string path;
    Bytes content;
};

/// All or nothing: no file is written when one of them is there.
Task<Status> write_all(Storage& storage, std::vector<NewFile> files, const Console& console) {
    for (const auto& file : files) {
        QIAO_CO_CHECK(co_await must_be_new(storage, file.path));
    }
    for (auto& file : files) {
        QIAO_CO_CHECK(co_await write_new_file(storage, file.path, std::move(file.content)));
        console.say(file.path);
    }
    co_return Status{};
}

Bytes bytes_of(std::string_view text) { return to_bytes(as_bytes(text)); }

Status check_name(const std::string& name) {
    if (crypto::is_certificate_name(name) && name.find('/') == std::string::npos) {
        return {};
    }
    return Error(ErrorCode::Config, fmt::format("`{}` cannot be a name", name));
}

Task<Status> make_ca(
    EventLoop& loop, Storage& storage, const Arguments& arguments, const Console& console
) {
    QIAO_CO_CHECK(check_name(arguments.name));
    const auto made = crypto::make_authority(arguments.name, loop.wall_now());
    const auto base = arguments.out + "/" + arguments.name;
    std::vector<NewFile> files;
    files.push_back({base + ".crt", bytes_of(made.certificate_pem)});
    files.push_back({base + ".key", to_bytes(made.private_key_pem.reveal())});
    co_return co_await write_all(storage, std::move(files), console);
}

Task<Status> make_node(
    EventLoop& loop, Storage& storage, const Arguments& arguments, const Console& console
) {
    QIAO_CO_CHECK(check_name(arguments.name));
    crypto::IssuedCertificate authority;
    QIAO_CO_TRY(const auto pem, co_await read_file(storage, arguments.ca + ".crt"));
    authority.certificate_pem = as_text(pem);
    QIAO_CO_TRY(auto key, co_await read_file(storage, arguments.ca + ".key"));
    authority.private_key_pem = Secret(std::move(key));
    QIAO_CO_TRY(
        const auto made,
        crypto::issue_certificate(authority, arguments.name, arguments.hosts, loop.wall_now())
    );
    const auto base = arguments.out + "/" + arguments.name;
    std::vector<NewFile> files;
    files.push_back({base + ".crt", bytes_of(made.certificate_pem)});
    files.push_back({base + ".key", to_bytes(made.private_key_pem.reveal())});
    co_return co_await write_all(storage, std::move(files), console);
}

Task<Status> make_wrapping_key(
    EventLoop& /*loop*/, Storage& storage, const Arguments& arguments, const Console& console
) {
    QIAO_CO_CHECK(check_name(arguments.name));
    const auto kind = arguments.suite == "gm" ? crypto::KeyKind::Sm2 : crypto::KeyKind::P256;
    const auto key = crypto::PrivateKey::generate(kind);
    QIAO_CO_TRY(const auto pem, key->to_pem());
    const auto base = arguments.out + "/" + arguments.name + "-wrap";
    std::vector<NewFile> files;
    files.push_back({base + ".key", to_bytes(pem.reveal())});
    files.push_back({base + ".pub", bytes_of(key->public_key()->to_pem())});
    co_return co_await write_all(storage, std::move(files), console);
}

/// Key and certificates that somebody else issued, as the configuration wants them.
Task<Status> import(
    EventLoop& /*loop*/, Storage& storage, const Arguments& arguments, const Console& console
) {
    Secret password;
    if (!arguments.password_file.empty()) {
        QIAO_CO_TRY(auto text, co_await read_file(storage, arguments.password_file));
        const Secret whole(std::move(text));
        password = Secret(whole.reveal_text().substr(0, whole.reveal_text().find_first_of("\r\n")));
    }
    std::vector<Bytes> given;
    for (const auto& path : arguments.files) {
        QIAO_CO_TRY(auto content, co_await read_file(storage, path));
        given.push_back(std::move(content));
    }
    const auto imported = crypto::import_identity(given, password);
    for (auto& content : given) {
        wipe(content);
    }
    QIAO_CO_CHECK(imported);
    QIAO_CO_CHECK(check_name(imported->name));
    const auto base = arguments.out + "/" + imported->name;
    std::vector<NewFile> files;
    files.push_back({base + ".crt", bytes_of(imported->certificate_pem)});
    files.push_back({base + ".key", to_bytes(imported->private_key_pem.reveal())});
    if (!imported->authorities_pem.empty()) {
        files.push_back({base + "-ca.crt", bytes_of(imported->authorities_pem)});
    }
    co_return co_await write_all(storage, std::move(files), console);
}

/// What the first thing in a PEM file is: certificate, public or private wrapping key.
Result<Json> describe(const std::string& path, Bytes content, WallTime now) {
    const auto kind_of = [](const crypto::PublicKey& key) {
        return key.kind() == crypto::KeyKind::Sm2 ? "SM2" : "P-256";
    };
    const std::string text(as_text(content));
    if (const auto certificate = crypto::read_certificate(text)) {
        return Json{
            {"file", path},
            {"kind", "certificate"},
            {"subject", certificate->subject},
            {"issuer", certificate->issuer},
            {"not_before", certificate->not_before.to_string()},
            {"not_after", certificate->not_after.to_string()},
            {"expired", certificate->not_after < now},
            {"fingerprint", certificate->fingerprint_sha256}
        };
    }
    auto key = crypto::PublicKey::from_pem(text);
    const bool is_public = key.has_value();
    if (!is_public) {
        QIAO_TRY(const auto secret, crypto::PrivateKey::from_pem(Secret(std::move(content))));
        key = secret->public_key();
    }
    return Json{
        {"file", path},
        {"kind", is_public ? "public key" : "private key"},
        {"algorithm", kind_of(**key)},
        {"fingerprint", agent::key_fingerprint(**key)}
    };
}

Task<Status> show(
    EventLoop& loop, Storage& storage, const Arguments& arguments, const Console& console
) {
    auto all = Json::array();
    for (const auto& path : arguments.files) {
        QIAO_CO_TRY(auto content, co_await read_file(storage, path));
        auto one = describe(path, std::move(content), loop.wall_now());
        if (!one) {
            co_return one.error().within(path);
        }
        if (!arguments.json) {
            if (!all.empty()) {
                console.say("");
            }
            for (const auto& [name, value] : one->items()) {
                console.say(fmt::format(
                    "{:12} {}", name, value.is_string() ? value.get<std::string>() : value.dump()
                ));
            }
        }
        all.push_back(*std::move(one));
    }
    if (arguments.json) {
        console.put_json(Json{{"keys", all}}.dump());
    }
    co_return Status{};
}

/// The public half, to be given to senders when the file from `wrap` is not at hand.
Task<Status> print_public(
    EventLoop& /*loop*/, Storage& storage, const Arguments& arguments, const Console& console
) {
    for (const auto& path : arguments.files) {
        QIAO_CO_TRY(auto content, co_await read_file(storage, path));
        const auto key = crypto::PrivateKey::from_pem(Secret(std::move(content)));
        if (!key) {
            co_return key.error().within(path);
        }
        auto pem = (*key)->public_key()->to_pem();
        while (pem.ends_with('\n')) {
            pem.pop_back();
        }
        console.say(pem);
    }
    co_return Status{};
}

using Action = Task<Status> (*)(EventLoop&, Storage&, const Arguments&, const Console&);

}  // namespace

void add_key_command(Program program) {
    const auto& console = program.console;
    const auto say = [&console](Text text) { return std::string(console.pick(text)); };
    auto* command = program.app.add_subcommand(
        "key", say({"Make and show certificates and wrapping keys", "生成并查看证书和封装密钥"})
    );
    command->require_subcommand(1);
    const auto arguments = std::make_shared<Arguments>();
    const auto add = [&](const char* name, Text text, Action action) {
        auto* part = command->add_subcommand(name, say(text));
        part->callback(
            [action, arguments, &speaker = program.console, &status = program.exit_status] {
                speaker.json = arguments->json;
                EventLoop loop;
                const auto storage = make_posix_storage(loop);
                const auto done = loop.run(action(loop, *storage, *arguments, speaker));
                if (!done) {
                    speaker.fail(done.error());
                    status = kExitFailed;
                }
            }
        );
        return part;
    };
    auto* ca =
        add("ca", {"a certificate authority for a first try", "生成试用的证书颁发机构"}, make_ca);
    auto* node = add("node", {"a node's certificate", "签发节点证书"}, make_node);
    auto* wrap =
        add("wrap",
            {"a pair of wrapping keys: keep .key, give .pub to the senders",
             "生成封装密钥对:.key 自留,.pub 交给发送方"},
            make_wrapping_key);
    for (auto* part : {ca, node, wrap}) {
        part->add_option("name", arguments->name, say({"the node's name", "节点名称"}))->required();
        part->add_option("--out", arguments->out, say({"folder for the files", "输出目录"}));
    }
    node->add_option(
            "--ca", arguments->ca, say({"CA files without .crt/.key", "CA 文件(不含扩展名)"})
    )
        ->required();
    node->add_option("--host", arguments->hosts, say({"DNS name or IP address", "域名或 IP 地址"}));
    wrap->add_option("--suite", arguments->suite, say({"gm or intl", "gm 或 intl"}))
        ->check(CLI::IsMember({"gm", "intl"}));
    add("public",
        {"print the public wrapping key of a private one", "打印封装私钥对应的公钥"},
        print_public)
        ->add_option("files", arguments->files, say({"private keys", "私钥文件"}))
        ->required();
    auto* imported =
        add("import",
            {"take a node's key and certificates from PKCS#12 or PEM files of another authority",
             "导入其他机构签发的 PKCS#12 或 PEM 密钥与证书"},
            import);
    imported->add_option("files", arguments->files, say({"files", "文件"}))->required();
    imported->add_option(
        "--password-file",
        arguments->password_file,
        say({"file whose first line is the password", "首行为密码的文件"})
    );
    imported->add_option("--out", arguments->out, say({"folder for the files", "输出目录"}));
    auto* shown = add("show", {"what is in PEM files", "查看 PEM 文件内容"}, show);
    shown->add_option("files", arguments->files, say({"PEM files", "PEM 文件"}))->required();
    shown->add_flag("--json", arguments->json, say({"one object on stdout", "输出 JSON"}));
}

}  // namespace qiao::cli
