#include "qiao/crypto/tls_engine.h"

#include "qiao/common/async/event_loop.h"
#include "qiao/crypto/certificate.h"
#include "qiao/crypto/internal/openssl.h"
#include "qiao/testing/manual_world.h"

#include <gtest/gtest.h>
#include <openssl/err.h>

#include <optional>

namespace qiao::crypto {
namespace {

using testing::ManualWorld;

constexpr int64_t kDay = 86'400'000'000;

// OpenSSL judges validity by the machine's calendar, so the certificates here must follow it.
WallTime now() {
    static const auto read = EventLoop().wall_now();
    return read;
}

const IssuedCertificate& authority() {
    static const auto made = make_authority("test authority", now());
    return made;
}

const IssuedCertificate& other_authority() {
    static const auto made = make_authority("other authority", now());
    return made;
}

TlsIdentity identity(
    const std::string& name,
    const IssuedCertificate& issuer = authority(),
    const std::string& trusted = authority().certificate_pem,
    WallTime at = now()
) {
    auto issued = issue_certificate(issuer, name, {"localhost"}, at).value();
    return {
        .certificate_chain_pem = issued.certificate_pem,
        .private_key_pem = issued.private_key_pem,
        .trusted_ca_pem = trusted,
    };
}

std::unique_ptr<TlsContext> context(const TlsIdentity& who) {
    return TlsContext::make(who).value();
}

/// Two engines and the wire between them.
class Pair {
public:
    Pair(const TlsIdentity& client_identity, const TlsIdentity& server_identity)
        : client(context(client_identity)->make_engine(TlsRole::Client)),
          server(context(server_identity)->make_engine(TlsRole::Server)) {}

    /// Carries what lies ready, both ways; false when nothing did.
    bool carry() const {
        const auto forth = client->drain();
        const auto back = server->drain();
        (void)server->feed(forth);
        (void)client->feed(back);
        return !forth.empty() || !back.empty();
    }

    /// Until both are done, one has failed, or nothing moves any more.
    void handshake() {
        do {
            step(*client, client_done, client_error);
            step(*server, server_done, server_error);
        } while (carry());
        // A refusal by the server reaches a client that is done already through read().
        if (client_done && !client_error) {
            Bytes room(1);
            if (const auto got = client->read(room); !got) {
                client_error = got.error();
            }
        }
    }

    bool established() const {
        return client_done && server_done && !client_error && !server_error;
    }

    std::unique_ptr<TlsEngine> client;
    std::unique_ptr<TlsEngine> server;
    bool client_done = false;
    bool server_done = false;
    std::optional<Error> client_error;
    std::optional<Error> server_error;

private:
    static void step(TlsEngine& engine, bool& done, std::optional<Error>& error) {
        if (done || error) {
            return;
        }
        const auto progress = engine.handshake();
        if (!progress) {
            error = progress.error();
        } else {
            done = *progress == TlsEngine::Progress::Done;
        }
    }
};

void expect_refused(const std::optional<Error>& error, std::string_view reason) {
    if (!error) {
        FAIL() << "was taken";
    }
    EXPECT_TRUE(error->is(ErrorCode::CryptoTlsRefused));
    EXPECT_NE(error->detail().find(reason), std::string::npos) << error->detail();
}

// Spec: R-32
TEST(TlsEngine, BothSidesLearnTheOthersNameAndFingerprint) {
    const auto left = identity("qiao-left");
    const auto right = identity("民政前置机");
    Pair pair(left, right);
    EXPECT_EQ(pair.client->peer_name(), "");
    pair.handshake();
    ASSERT_TRUE(pair.established());
    EXPECT_EQ(pair.client->peer_name(), "民政前置机");
    EXPECT_EQ(pair.server->peer_name(), "qiao-left");
    EXPECT_EQ(
        pair.client->peer_fingerprint(),
        read_certificate(right.certificate_chain_pem)->fingerprint_sha256
    );
    EXPECT_EQ(
        pair.server->peer_fingerprint(),
        read_certificate(left.certificate_chain_pem)->fingerprint_sha256
    );
    EXPECT_EQ(
        pair.client->peer_valid_until(), read_certificate(right.certificate_chain_pem)->not_after
    );
}

/// Sends `plain` in pieces of odd sizes, carries the ciphertext in others, reads in others again.
Bytes transferred(TlsEngine& from, TlsEngine& to, ByteView plain, ManualWorld& world) {
    const auto odd = [&](size_t most) { return 1 + world.number() % most; };
    Bytes received;
    Bytes room(200'001);
    while (!plain.empty()) {
        const auto piece = plain.first(std::min(plain.size(), odd(700'001)));
        plain = plain.subspan(piece.size());
        EXPECT_TRUE(from.write(piece));
        const auto sealed = from.drain();
        ByteView wire(sealed);
        while (!wire.empty()) {
            const auto part = wire.first(std::min(wire.size(), odd(99'991)));
            wire = wire.subspan(part.size());
            EXPECT_TRUE(to.feed(part));
            for (;;) {
                const auto got = to.read(MutableByteView(room).first(odd(room.size())));
                if (!got || *got == 0) {
                    EXPECT_TRUE(got);
                    break;
                }
                received.insert(
                    received.end(), room.begin(), room.begin() + static_cast<ptrdiff_t>(*got)
                );
            }
        }
    }
    return received;
}

TEST(TlsEngine, CarriesTenMegabytesBothWaysInOddPieces) {
    Pair pair(identity("a"), identity("b"));
    pair.handshake();
    ASSERT_TRUE(pair.established());
    ManualWorld world(3);
    Bytes plain(10'000'001);
    world.fill(plain);
    EXPECT_TRUE(transferred(*pair.client, *pair.server, plain, world) == plain);
    EXPECT_TRUE(transferred(*pair.server, *pair.client, plain, world) == plain);
}

TEST(TlsEngine, PlaintextIsNotOnTheWire) {
    Pair pair(identity("a"), identity("b"));
    pair.handshake();
    ASSERT_TRUE(pair.established());
    const std::string planted = "650102199001011234";
    ASSERT_TRUE(pair.client->write(as_bytes(planted)));
    const auto wire = pair.client->drain();
    EXPECT_EQ(as_text(wire).find(planted), std::string_view::npos);
    EXPECT_GT(wire.size(), planted.size());
}

TEST(TlsEngine, ShutdownIsToldFromACut) {
    Pair pair(identity("a"), identity("b"));
    pair.handshake();
    ASSERT_TRUE(pair.established());
    ASSERT_TRUE(pair.client->write(as_bytes("last words")));
    pair.client->shutdown();
    EXPECT_TRUE(pair.client->write(as_bytes("more")).error().is(ErrorCode::NetworkClosed));
    pair.carry();
    Bytes room(100);
    ASSERT_EQ(pair.server->read(room).value(), 10U);
    EXPECT_TRUE(pair.server->read(room).error().is(ErrorCode::NetworkClosed));

    // Without the goodbye there is only nothing to read.
    Pair cut(identity("a"), identity("b"));
    cut.handshake();
    EXPECT_EQ(cut.server->read(room).value(), 0U);
}

// Spec: R-32
TEST(TlsEngine, ClientOfAnotherAuthorityIsRefused) {
    Pair pair(identity("stranger", other_authority()), identity("server"));
    pair.handshake();
    expect_refused(pair.server_error, "unable to get local issuer certificate");
    expect_refused(pair.client_error, "unknown ca");
}

TEST(TlsEngine, ServerOfAnotherAuthorityIsRefused) {
    Pair pair(identity("client"), identity("stranger", other_authority()));
    pair.handshake();
    expect_refused(pair.client_error, "unable to get local issuer certificate");
    expect_refused(pair.server_error, "unknown ca");
}

TEST(TlsEngine, CertificateOfAnAuthorityWithTheSameNameIsRefused) {
    const auto imitation = make_authority("test authority", now());
    Pair pair(identity("stranger", imitation), identity("server"));
    pair.handshake();
    EXPECT_FALSE(pair.established());
    EXPECT_TRUE(pair.server_error.has_value());
}

// The certificate that was good a thousand days ago, and the one that will be good tomorrow.
TEST(TlsEngine, ExpiredAndFutureCertificatesAreRefused) {
    const auto long_ago = WallTime{now().us - 1'000 * kDay};
    const auto old_authority = make_authority("test authority", long_ago);
    const auto& trusted = old_authority.certificate_pem;
    const auto good = identity("server", old_authority, trusted);

    Pair expired(identity("client", old_authority, trusted, long_ago), good);
    expired.handshake();
    expect_refused(expired.server_error, "certificate has expired");
    expect_refused(expired.client_error, "certificate expired");

    Pair expired_server(good, identity("server", old_authority, trusted, long_ago));
    expired_server.handshake();
    expect_refused(expired_server.client_error, "certificate has expired");

    const auto tomorrow = WallTime{now().us + kDay};
    Pair future(identity("client", old_authority, trusted, tomorrow), good);
    future.handshake();
    expect_refused(future.server_error, "certificate is not yet valid");
}

/// A client as careless as can be: shows no certificate and believes everything.
class BareClient {
public:
    explicit BareClient(int version) : context_(SSL_CTX_new(TLS_method())) {
        SSL_CTX_set_max_proto_version(context_.get(), version);
        connection_.reset(SSL_new(context_.get()));
        incoming_ = BIO_new(BIO_s_mem());
        outgoing_ = BIO_new(BIO_s_mem());
        SSL_set_bio(connection_.get(), incoming_, outgoing_);
        SSL_set_connect_state(connection_.get());
    }

    /// The server's verdict.
    std::optional<Error> meet(TlsEngine& server) {
        for (int round = 0; round < 10; ++round) {
            SSL_do_handshake(connection_.get());
            ERR_clear_error();
            EXPECT_TRUE(server.feed(written(outgoing_)));
            BIO_reset(outgoing_);
            const auto progress = server.handshake();
            if (!progress) {
                return progress.error();
            }
            const auto back = server.drain();
            BIO_write(incoming_, back.data(), static_cast<int>(back.size()));
        }
        return std::nullopt;
    }

private:
    std::unique_ptr<SSL_CTX, FreeWith<SSL_CTX_free>> context_;
    std::unique_ptr<SSL, FreeWith<SSL_free>> connection_;
    BIO* incoming_ = nullptr;
    BIO* outgoing_ = nullptr;
};

TEST(TlsEngine, ClientWithoutCertificateIsRefused) {
    const auto server = context(identity("server"))->make_engine(TlsRole::Server);
    expect_refused(BareClient(TLS1_3_VERSION).meet(*server), "did not return a certificate");
}

TEST(TlsEngine, OlderProtocolIsRefused) {
    const auto server = context(identity("server"))->make_engine(TlsRole::Server);
    expect_refused(BareClient(TLS1_2_VERSION).meet(*server), "unsupported protocol");
}

/// A revocation list of `issuer` that names the certificates of `revoked`.
std::string revocation_list(const IssuedCertificate& issuer, const std::string& revoked) {
    const auto above = parse_certificate(issuer.certificate_pem).value();
    const auto key = parse_private_key(issuer.private_key_pem.reveal_text()).value();
    const std::unique_ptr<X509_CRL, FreeWith<X509_CRL_free>> list(X509_CRL_new());
    X509_CRL_set_version(list.get(), 1);
    X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(above.get()));
    const std::unique_ptr<ASN1_TIME, FreeWith<ASN1_TIME_free>> time(
        ASN1_TIME_set(nullptr, static_cast<time_t>((now().us - kDay) / 1'000'000))
    );
    X509_CRL_set1_lastUpdate(list.get(), time.get());
    ASN1_TIME_set(time.get(), static_cast<time_t>((now().us + kDay) / 1'000'000));
    X509_CRL_set1_nextUpdate(list.get(), time.get());
    if (!revoked.empty()) {
        const auto certificate = parse_certificate(revoked).value();
        auto* entry = X509_REVOKED_new();
        X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(certificate.get()));
        X509_REVOKED_set_revocationDate(entry, time.get());
        X509_CRL_add0_revoked(list.get(), entry);
    }
    X509_CRL_sort(list.get());
    X509_CRL_sign(list.get(), key.get(), EVP_sha256());
    const OwnedBio bio(BIO_new(BIO_s_mem()));
    PEM_write_bio_X509_CRL(bio.get(), list.get());
    return std::string(as_text(written(bio.get())));
}

TEST(TlsEngine, RevokedCertificateIsRefusedAndOthersAreNot) {
    const auto revoked = identity("revoked");
    auto server = identity("server");
    server.trusted_ca_pem += revocation_list(authority(), revoked.certificate_chain_pem);

    Pair refused(revoked, server);
    refused.handshake();
    expect_refused(refused.server_error, "certificate revoked");
    expect_refused(refused.client_error, "certificate revoked");

    Pair taken(identity("other"), server);
    taken.handshake();
    EXPECT_TRUE(taken.established());
}

TEST(TlsEngine, GarbageInsteadOfAHandshakeIsAnError) {
    ManualWorld world(11);
    const auto server_context = context(identity("server"));
    const auto client_context = context(identity("client"));
    for (int round = 0; round < 300; ++round) {
        Bytes garbage(1 + world.number() % 2000);
        world.fill(garbage);
        const auto role = round % 2 == 0 ? TlsRole::Server : TlsRole::Client;
        const auto engine =
            (role == TlsRole::Server ? *server_context : *client_context).make_engine(role);
        (void)engine->handshake();
        ASSERT_TRUE(engine->feed(garbage));
        const auto progress = engine->handshake();
        if (progress) {
            ASSERT_EQ(*progress, TlsEngine::Progress::NeedsInput);
        } else {
            ASSERT_TRUE(progress.error().is(ErrorCode::CryptoTlsRefused));
            ASSERT_FALSE(engine->handshake()) << "the first error stays";
        }
    }
}

/// One handshake of three flights in which one bit of one flight is flipped; whether both are done.
bool done_in_spite_of_a_flipped_bit(TlsEngine& client, TlsEngine& server, ManualWorld& world) {
    const auto altered_flight = world.number() % 3;
    const auto done = [](TlsEngine& engine) {
        const auto progress = engine.handshake();
        return progress && *progress == TlsEngine::Progress::Done;
    };
    bool client_done = false;
    for (uint64_t flight = 0; flight < 3; ++flight) {
        auto& from = flight == 1 ? server : client;
        auto& to = flight == 1 ? client : server;
        client_done = done(from) && flight == 2;
        auto wire = from.drain();
        if (flight == altered_flight && !wire.empty()) {
            const auto bit = world.number() % (wire.size() * 8);
            wire[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
        }
        (void)to.feed(wire);
    }
    return done(server) && client_done;
}

// TLS 1.3 leaves one field unprotected, the legacy version in the head of a record: a handshake
// altered there comes to its end, and the session must then be a good one.
TEST(TlsEngine, FlippedBitInTheHandshakeLeavesNoAlteredSession) {
    ManualWorld world(5);
    const auto client_context = context(identity("client"));
    const auto server_context = context(identity("server"));
    int refused = 0;
    for (int round = 0; round < 200; ++round) {
        const auto client = client_context->make_engine(TlsRole::Client);
        const auto server = server_context->make_engine(TlsRole::Server);
        if (!done_in_spite_of_a_flipped_bit(*client, *server, world)) {
            ++refused;
            continue;
        }
        ASSERT_TRUE(client->write(as_bytes("x")));
        ASSERT_TRUE(server->feed(client->drain()));
        Bytes room(8);
        ASSERT_EQ(server->read(room).value(), 1U);
    }
    EXPECT_GT(refused, 180);
}

/// Reads until nothing comes any more; the error that ended it, where there was one.
std::optional<Error> read_all(TlsEngine& engine, Bytes& received) {
    Bytes room(5'000);
    for (;;) {
        const auto got = engine.read(room);
        if (!got) {
            return got.error();
        }
        if (*got == 0) {
            return std::nullopt;
        }
        received.insert(received.end(), room.begin(), room.begin() + static_cast<ptrdiff_t>(*got));
    }
}

TEST(TlsEngine, AlteredAndCutCiphertextIsRefused) {
    ManualWorld world(13);
    const auto client_identity = identity("a");
    const auto server_identity = identity("b");
    int refused = 0;
    for (int round = 0; round < 100; ++round) {
        Pair pair(client_identity, server_identity);
        pair.handshake();
        ASSERT_TRUE(pair.established());
        Bytes plain(40'000);
        world.fill(plain);
        ASSERT_TRUE(pair.client->write(plain));
        auto wire = pair.client->drain();
        const auto at = world.number() % wire.size();
        if (round % 2 == 0) {
            wire[at] ^= static_cast<std::byte>(1U << (world.number() % 8));
        } else {
            // A byte is missing in the middle, and more of the stream follows.
            wire.erase(wire.begin() + static_cast<ptrdiff_t>(at));
            wire.resize(wire.size() + 40'000);
        }
        ASSERT_TRUE(pair.server->feed(wire));
        Bytes received;
        const auto error = read_all(*pair.server, received);
        ASSERT_LT(received.size(), plain.size());
        ASSERT_TRUE(std::equal(received.begin(), received.end(), plain.begin()));
        // A flipped length can make the last record wait for more bytes; all else is an error.
        if (error) {
            ++refused;
            ASSERT_TRUE(error->is(ErrorCode::CryptoTlsRefused));
            ASSERT_FALSE(pair.server->write(as_bytes("x"))) << "the first error stays";
        }
    }
    EXPECT_GT(refused, 90);
}

TEST(TlsContext, RefusesAnIdentityThatCannotWork) {
    const auto good = identity("node");
    const auto refused = [](const TlsIdentity& bad) {
        const auto made = TlsContext::make(bad);
        return !made && made.error().is(ErrorCode::CryptoBadIdentity);
    };
    EXPECT_FALSE(refused(good));

    auto bad = good;
    bad.certificate_chain_pem = "";
    EXPECT_TRUE(refused(bad));
    bad = good;
    bad.certificate_chain_pem += "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    EXPECT_TRUE(refused(bad));
    bad = good;
    bad.private_key_pem = Secret{};
    EXPECT_TRUE(refused(bad));
    bad = good;
    bad.private_key_pem = identity("another").private_key_pem;
    EXPECT_TRUE(refused(bad)) << "the key of another certificate";
    bad = good;
    bad.trusted_ca_pem = "";
    EXPECT_TRUE(refused(bad));
    bad = good;
    bad.trusted_ca_pem = "nothing of use\n";
    EXPECT_TRUE(refused(bad));
}

TEST(TlsContext, EnginesOutliveIt) {
    auto client_context = context(identity("a"));
    const auto client = client_context->make_engine(TlsRole::Client);
    client_context.reset();
    EXPECT_TRUE(client->handshake());
    EXPECT_FALSE(client->drain().empty());
}

}  // namespace
}  // namespace qiao::crypto
