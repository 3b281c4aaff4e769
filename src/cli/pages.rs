//! Lists, which the server answers in pages.

use super::failure::Failure;

/// Most that the server puts into one page.
const LARGEST: usize = 1000;

/// A list to its end. `ask` is given the size of a page and its token, and gets the page and the token of the next.
pub async fn all<M>(ask: impl AsyncFnMut(i32, String) -> Result<(Vec<M>, String), Failure>) -> Result<Vec<M>, Failure> {
    Ok(first(usize::MAX, ask).await?.0)
}

/// The first `limit` of a list, and whether there are more.
pub async fn first<M>(
    limit: usize,
    mut ask: impl AsyncFnMut(i32, String) -> Result<(Vec<M>, String), Failure>,
) -> Result<(Vec<M>, bool), Failure> {
    let (mut messages, mut token) = (Vec::new(), String::new());
    loop {
        let size = i32::try_from((limit - messages.len()).min(LARGEST)).unwrap_or(i32::MAX);
        let (page, next) = ask(size, token).await?;
        messages.extend(page);
        if next.is_empty() || messages.len() >= limit {
            let more = !next.is_empty() || messages.len() > limit;
            messages.truncate(limit);
            return Ok((messages, more));
        }
        token = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers from 0 on, in pages that have at most 400 each.
    async fn counted(limit: usize, there: usize) -> (usize, bool, Vec<i32>) {
        let mut sizes = Vec::new();
        let ask = async |size: i32, token: String| {
            sizes.push(size);
            let from = token.parse().unwrap_or(0);
            let until = there.min(from + 400.min(size as usize));
            Ok(((from..until).collect(), if until < there { until.to_string() } else { String::new() }))
        };
        let (numbers, more) = first(limit, ask).await.unwrap();
        assert_eq!(numbers, (0..numbers.len()).collect::<Vec<_>>());
        (numbers.len(), more, sizes)
    }

    #[tokio::test]
    async fn as_many_pages_are_asked_for_as_are_needed() {
        assert_eq!(counted(50, 50).await, (50, false, vec![50]));
        assert_eq!(counted(50, 51).await, (50, true, vec![50]));
        assert_eq!(counted(500, 900).await, (500, true, vec![500, 100]));
        assert_eq!(counted(usize::MAX, 900).await, (900, false, vec![1000; 3]));
        assert_eq!(counted(50, 0).await, (0, false, vec![50]));
    }
}
