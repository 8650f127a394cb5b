// SPDX-License-Identifier: Apache-2.0
//! Many questions to the chain.

use anyhow::{Context, Result};

/// How many are asked at the same time.
const AT_ONCE: usize = 50;

/// The answers, in the order of the questions.
pub async fn answers<T: Send + 'static>(
    questions: impl IntoIterator<Item = impl Future<Output = Result<T>> + Send + 'static>,
) -> Result<Vec<T>> {
    let mut questions = questions.into_iter().peekable();
    let mut answers = Vec::new();
    while questions.peek().is_some() {
        let asking: Vec<_> = questions.by_ref().take(AT_ONCE).map(tokio::spawn).collect();
        for answer in asking {
            answers.push(answer.await.context("a question to the chain was interrupted")??);
        }
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    #[tokio::test]
    async fn answers_have_the_order_of_the_questions() {
        let asked = answers((0..120).map(|number| async move { Ok(number) })).await.unwrap();
        assert_eq!(asked, (0..120).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn one_failed_question_fails_all() {
        let question = |number| async move { if number == 70 { bail!("no answer") } else { Ok(number) } };
        assert_eq!(answers((0..120).map(question)).await.unwrap_err().to_string(), "no answer");
    }
}
