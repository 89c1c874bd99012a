# The operator's image. Build it from the repository's root, after
# `dotnet publish src/Operator -c Release -r linux-x64 --self-contained`.
#
# The runtime comes with the published folder; of Debian it takes the C++ library, OpenSSL and the roots of trust.
FROM docker.io/library/debian:bookworm-slim AS packages
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates libssl3 libstdc++6
COPY images/collect /usr/local/bin/collect
RUN ["/bin/bash", "-euc", "collect /collected /etc/ssl/certs/ca-certificates.crt /usr/lib/x86_64-linux-gnu/{libssl.so.3,libcrypto.so.3,libstdc++.so.6,libgcc_s.so.1,libm.so.6,libdl.so.2,libpthread.so.0,librt.so.1}"]

FROM scratch
COPY --from=packages /collected /
ENV DOTNET_EnableDiagnostics=0
USER 65532:65532
WORKDIR /app
ENTRYPOINT ["/app/SandLabX.Operator"]
ARG PUBLISHED=artifacts/publish/Operator/release_linux-x64
COPY ${PUBLISHED} /app
