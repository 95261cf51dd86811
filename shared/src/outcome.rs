//! Outcomes of requests: success, or a problem of one of the documented types.

/// The outcome of a request, for logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A user-scoped token was minted.
    TokenMinted,
    /// A source was created.
    SourceCreated,
    /// A request with an `Idempotency-Key` was repeated, and its source returned.
    SourceReplayed,
    /// The request failed.
    Problem(ProblemType),
}

impl Outcome {
    /// The name in logs: the success, or the problem's type.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TokenMinted => "token-minted",
            Self::SourceCreated => "source-created",
            Self::SourceReplayed => "source-replayed",
            Self::Problem(problem) => problem.as_str(),
        }
    }
}

/// The types of problems. Each has one `type`, one status and one title, which docs/reference.md documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table below is the documentation")]
pub enum ProblemType {
    InvalidRequest,
    InvalidToken,
    Unauthenticated,
    TokenExpired,
    Forbidden,
    OriginNotAllowed,
    PayloadTooLarge,
    SourceRejected,
    RateLimited,
    InternalError,
    UpstreamError,
    CredentialRejected,
    CredentialUnavailable,
    UpstreamTimeout,
    IdempotencyKeyReused,
    CreateInProgress,
    CreateOutcomeUnknown,
    IdempotencyUnavailable,
}

impl ProblemType {
    /// The problem's `type` (RFC 9457, section 3.1.1): a relative reference that never changes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.parts().0
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        self.parts().1
    }

    /// The `title`: the same for each occurrence.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.parts().2
    }

    #[rustfmt::skip]
    fn parts(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::InvalidRequest         => ("invalid-request", 400, "Invalid request"),
            Self::InvalidToken           => ("invalid-token", 400, "Invalid token"),
            Self::Unauthenticated        => ("unauthenticated", 401, "Unauthenticated"),
            Self::TokenExpired           => ("token-expired", 401, "Token expired"),
            Self::Forbidden              => ("forbidden", 403, "Forbidden"),
            Self::OriginNotAllowed       => ("origin-not-allowed", 403, "Origin not allowed"),
            Self::PayloadTooLarge        => ("payload-too-large", 413, "Payload too large"),
            Self::SourceRejected         => ("source-rejected", 422, "Source rejected by Airbyte"),
            Self::RateLimited            => ("rate-limited", 429, "Rate limited by Airbyte"),
            Self::InternalError          => ("internal-error", 500, "Internal error"),
            Self::UpstreamError          => ("upstream-error", 502, "Airbyte request failed"),
            Self::CredentialRejected     => ("credential-rejected", 502, "Credential rejected by Airbyte"),
            Self::CredentialUnavailable  => ("credential-unavailable", 503, "Credential unavailable"),
            Self::UpstreamTimeout        => ("upstream-timeout", 504, "Airbyte request timed out"),
            Self::IdempotencyKeyReused   => ("idempotency-key-reused", 422, "Idempotency key reused"),
            Self::CreateInProgress       => ("create-in-progress", 409, "Create in progress"),
            Self::CreateOutcomeUnknown   => ("create-outcome-unknown", 409, "Create outcome unknown"),
            Self::IdempotencyUnavailable => ("idempotency-unavailable", 503, "Idempotency unavailable"),
        }
    }
}
